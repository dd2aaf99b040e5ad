"""The same networks in PyTorch: in its own bfloat16 and float16, and in float32 rounded on its bits where the CPU has no TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from experiments.catalog.precision.arithmetic import Cast, Scaled, Short
from experiments.catalog.precision.formats import TF32
from scratch.layers import Dense
from torchref.layers import twin
from torchref.losses import twin as twin_of_loss

NATIVE = {"bf16": torch.bfloat16, "fp16": torch.float16}


@twin.register
def _(layer: Short, n_in: int) -> nn.Module:
    if isinstance(layer.layer, Dense):
        return ShortLinear(n_in, layer.layer.units, layer.layer.bias, layer.name)
    return twin(layer.layer, n_in) if layer.name == "tf32" else ShortElementwise(twin(layer.layer, n_in), layer.name)


@twin.register
def _(layer: Cast, n_in: int) -> nn.Module:
    return ShortElementwise(nn.Identity(), layer.name) if layer.name in ("bf16", "fp16") else nn.Identity()


class ShortLinear(nn.Linear):
    """nn.Linear in bf16 or fp16, autograd included; in TF32, which only a GPU has, on rounded float32.

    Product and bias are two roundings, as under vmap; without vmap some of PyTorch's kernels round once.
    """

    def __init__(self, n_in: int, n_out: int, bias: bool, name: str) -> None:
        super().__init__(n_in, n_out, bias)
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        if self.name != "tf32":
            kind = NATIVE[self.name]
            z = linear(x.to(kind), self.weight.to(kind))
            return (z if self.bias is None else z + self.bias.to(kind)).float()
        if x.is_cuda:
            return linear(x, self.weight, self.bias)  # see ``tensor_cores``
        z = HandsDown.apply(linear(Reads.apply(x), Reads.apply(self.weight)))
        return z if self.bias is None else z + self.bias


class ShortElementwise(nn.Module):
    def __init__(self, inside: nn.Module, name: str) -> None:
        super().__init__()
        self.inside, self.name = inside, name

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x.to(NATIVE[self.name])).float()


def tf32(x: Tensor) -> Tensor:
    """float32 rounded to TF32, on its bits."""
    bits, dropped = x.view(torch.int32), TF32.dropped
    return ((bits + ((1 << (dropped - 1)) - 1) + ((bits >> dropped) & 1)) & -(1 << dropped)).view(torch.float32)


class Reads(torch.autograd.Function):
    """Rounds on the way up; the gradient passes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return tf32(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class HandsDown(torch.autograd.Function):
    """Passes on the way up; rounds the gradient, which two products will read."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None: ...

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return tf32(gradient)


@twin_of_loss.register
def _(loss: Scaled) -> nn.Module:
    return ScaledCrossEntropy(loss.scale)


class ScaledCrossEntropy(nn.CrossEntropyLoss):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return super().forward(output, target) * self.scale


@contextmanager
def tensor_cores(name: str) -> Iterator[None]:
    """Lets a GPU's float32 products read TF32 where that is the format, and nowhere else; on the CPU it changes nothing."""
    flags, before = torch.backends.cuda.matmul, torch.backends.cuda.matmul.allow_tf32
    flags.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        flags.allow_tf32 = before
