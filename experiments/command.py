"""How a command begins: an interrupt during its imports, which take seconds, ends it in one line. How it ends: scratch.command."""

from __future__ import annotations

import argparse
import os
import signal
from importlib import import_module
from types import FrameType
from typing import NoReturn


def begin(module: str) -> NoReturn:
    """Runs the ``main`` of that module as this process's command. Called above a file's imports, which come under it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job begins deaf to Ctrl-C
        signal.signal(signal.SIGINT, _leave)
    from scratch.command import run  # imports NumPy

    run(import_module(module).main)


class Parser(argparse.ArgumentParser):
    """Raises InvalidInput, one line, for what argparse would answer with its usage."""

    def error(self, message: str) -> NoReturn:
        from scratch.errors import InvalidInput

        raise InvalidInput(f"{message}; see --help")


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends without raising: in the middle of an import an exception may come out as another, or not at all."""
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(128 + number)
