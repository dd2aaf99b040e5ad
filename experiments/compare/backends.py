"""The two implementations, each behind the same two functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from scratch.contract import Job, Snapshot


class Backend(NamedTuple):
    snapshot: Callable[[Job], Snapshot]
    train: Callable[[Job], Iterator[Snapshot]]


def backends(device: str) -> dict[str, Backend]:
    """Both implementations; PyTorch's computes on ``device``."""
    from scratch import training as scratch
    from torchref import training as torchref

    return {
        "scratch": Backend(scratch.snapshot, scratch.train),
        "torchref": Backend(partial(torchref.snapshot, device=device), partial(torchref.train, device=device)),
    }
