"""A network of torch.nn modules that shows every layer's output."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

import torchref.activations
import torchref.normalization  # noqa: F401  these twins register themselves
from scratch.network import Network as Description
from torchref.layers import chain


class Network(nn.Module):
    """The modules of ``description`` in turn; x (m, features) in, the last layer's output (m, outputs) back.

    With ``taps``, one tensor (m, units) a layer, every layer's output is given back, and the taps are added to them: all
    zero, they change nothing, and the gradient with respect to a tap is the gradient at that layer's output, also
    under vmap, where hooks do not reach.
    """

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.layers = nn.ModuleList(chain(description.layers, description.inputs))

    def forward(self, x: Tensor, taps: Sequence[Tensor] | None = None) -> list[Tensor]:
        if taps is None:
            for module in self.layers:
                x = module(x)
            return [x]
        outputs = []
        for module, tap in zip(self.layers, taps, strict=True):
            x = module(x) + tap
            outputs.append(x)
        return outputs
