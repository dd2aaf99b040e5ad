"""The same networks in PyTorch: in its own bfloat16 and float16, and in float32 rounded on its bits where the CPU has no TF32."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from scratch import Dense
from scratch.randomness import generator
from torchref.layers import twin
from torchref.losses import twin as twin_of_loss
from torchref.optimizers import twin as twin_of_optimizer
from .arithmetic import Cast, Kept, Scaled, Short
from .formats import BF16, TF32

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
        read = Rounds.apply(x, True), Rounds.apply(self.weight, True)
        z = Rounds.apply(linear(*read), False)  # two products will read the gradient
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


def cast(x: Tensor, name: str) -> Tensor:
    """float32 in that short format, and back."""
    return tf32(x) if name == "tf32" else x.to(NATIVE[name]).float()


class Rounds(torch.autograd.Function):
    """To TF32, on the way up or, the gradient, on the way down; the other way it passes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, up: bool) -> Tensor:
        return tf32(x) if up else x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.up = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient if ctx.up else tf32(gradient), None


@twin_of_loss.register
def _(loss: Scaled) -> nn.Module:
    return ScaledCrossEntropy(loss.scale)


class ScaledCrossEntropy(nn.CrossEntropyLoss):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return super().forward(output, target) * self.scale


@twin_of_optimizer.register
def _(optimizer: Kept, tensors: Iterable[Tensor]) -> torch.optim.Optimizer:
    assert isinstance(optimizer.learning_rate, float)
    return (KeptNearest if optimizer.mode == "nearest" else KeptAtRandom)(list(tensors), optimizer.learning_rate)


class KeptNearest(torch.optim.SGD):
    """PyTorch's SGD on bfloat16 tensors; the float32 ones that the network reads are copies."""

    def __init__(self, tensors: list[Tensor], rate: float) -> None:
        super().__init__(tensors, rate)
        self.short = [t.detach().bfloat16() for t in tensors]
        self.inside = torch.optim.SGD(self.short, rate)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for short, tensor in zip(self.short, self.param_groups[0]["params"], strict=True):
            short.grad = None if tensor.grad is None else tensor.grad.bfloat16()
        self.inside.step()
        for short, tensor in zip(self.short, self.param_groups[0]["params"], strict=True):
            tensor.copy_(short)


class KeptAtRandom(torch.optim.SGD):
    """PyTorch's SGD in float32, then rounding at random on the bits."""

    def __init__(self, tensors: list[Tensor], rate: float) -> None:
        super().__init__(tensors, rate)
        self.random = generator(0, "kept", "torchref")

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for tensor in self.param_groups[0]["params"]:
            drawn = self.random.integers(0, 1 << BF16.dropped, tuple(tensor.shape), np.int32)
            bits = tensor.view(torch.int32) + torch.from_numpy(drawn).to(tensor.device)
            tensor.copy_((bits & -(1 << BF16.dropped)).view(torch.float32))


@contextmanager
def tensor_cores(name: str) -> Iterator[None]:
    """Lets a GPU's float32 products read TF32 where that is the format, and nowhere else; on the CPU it changes nothing."""
    flags, before = torch.backends.cuda.matmul, torch.backends.cuda.matmul.allow_tf32
    flags.allow_tf32 = name == "tf32"
    try:
        yield
    finally:
        flags.allow_tf32 = before
