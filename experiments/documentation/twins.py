"""What says the same in PyTorch, found by asking the twins for it."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pkgutil import resolve_name
from typing import Any

import torch
from torch import nn

import scratch
from experiments.documentation.examples import N_IN, children, example
from experiments.documentation.markdown import docstring, prose
from scratch.clipping import Clip
from scratch.layers import Layer
from scratch.losses import Loss
from scratch.optimizers import Optimizer
from scratch.penalties import MaxNorm, Penalty
from scratch.schedules import Schedule
from torchref import activations, initializers, layers, losses, normalization, optimizers, penalties, schedules  # noqa: F401

MANUAL = "https://docs.pytorch.org/docs/stable/"
PUBLIC = ("torch.nn", "torch.optim", "torch.optim.lr_scheduler")
BESIDE = {  # what is no description, and has no twin that could be asked
    "scratch.layers.Layer": ("torch.nn.Module",),
    "scratch.network.Network": ("torchref.network.Network",),
    "scratch.training.train": ("torchref.training.train",),
    "scratch.training.snapshot": ("torchref.training.snapshot",),
    "scratch.fitting.fit": ("torchref.training.train",),
    "scratch.fitting.split": ("torch.utils.data.random_split",),
    "scratch.fitting.epochs": ("torch.utils.data.DataLoader",),
    "scratch.fitting.predict": ("torch.nn.Module.eval",),
    "scratch.saving.save": ("torchref.saving.state_dict",),
    "scratch.saving.load": ("torchref.saving.from_state_dict",),
    "scratch.metrics.top_k": ("torch.topk",),
    "scratch.variables.Var": ("torch.Tensor",),
    "scratch.autodiff.gradient": ("torch.autograd.grad",),
    "scratch.autodiff.hessian": ("torch.autograd.functional.hessian",),
    "scratch.autodiff.hessian_vector": ("torch.autograd.functional.hvp",),
    "scratch.autodiff.erf": ("torch.special.erf",),
    "scratch.autodiff.normal_cdf": ("torch.special.ndtr",),
    "scratch.gradcheck.central_difference": ("torch.autograd.gradcheck",),
}
NONE = {  # and why
    "scratch.contract.Batch": "both implementations are handed the same one",
    "scratch.contract.Job": "both implementations are handed the same one",
    "scratch.contract.Snapshot": "both implementations give one back",
    "scratch.errors.InvalidInput": "torchref raises it too",
    "scratch.lsuv.lsuv": "PyTorch has no original",
}
EITHER = "it takes what either implementation gives back"
REST = dict.fromkeys(("fitting", "metrics", "training", "network", "saving"), EITHER) | dict.fromkeys(
    ("autodiff", "variables", "derivatives", "composed", "gradcheck", "tape", "special"),
    "PyTorch's autograd does without",
)


def counterpart(thing: Any) -> str:
    """Markdown that names what says the same in PyTorch, or why nothing does; empty where nobody would ask."""
    full = f"{thing.__module__}.{thing.__qualname__}"
    if full in BESIDE:
        return ", ".join(map(link, BESIDE[full]))
    if full in NONE:
        return f"none: {NONE[full]}"
    if thing.__name__ in scratch.__all__ and (reason := REST.get(thing.__module__.removeprefix("scratch."))):
        return f"none: {reason}"
    if inspect.isclass(thing):
        return "" if children(thing) else _of_class(thing)
    named = getattr(initializers, thing.__name__, None) if thing.__module__ == "scratch.initializers" else None
    return " by ".join(map(link, [f"torchref.initializers.{thing.__name__}", *called(named)])) if named else ""


def _of_class(kind: type) -> str:
    if issubclass(kind, Layer):
        layer = example(kind)
        now, later = _module(layers.twin(layer, N_IN)), _module(layers.twin(layer.inference(), N_IN))
        return now if now == later else f"{now}; after training {later}"
    if issubclass(kind, Loss):
        return _module(losses.twin(example(kind)))
    weight = torch.zeros(1, requires_grad=True)
    if issubclass(kind, Optimizer):
        return _kind(type(optimizers.twin(example(kind), [weight])).__base__)  # the twin is a subclass
    if issubclass(kind, Schedule):
        return _module(schedules.twin(example(kind), torch.optim.SGD([weight], 0.1)))
    if issubclass(kind, Clip):
        return ", ".join(map(link, called(optimizers.clip.dispatch(kind))))
    if kind is MaxNorm:
        return ", ".join(map(link, called(penalties.project)))
    if issubclass(kind, Penalty):
        penalties.twin(example(kind))  # raises where there is none
        return f"no module: {link('torchref.penalties.twin')} sums it over the named tensors, autograd differentiates"
    return ""


def _module(twin: Any) -> str:
    return _kind(type(twin))


def _kind(kind: Any) -> str:
    name = kind.__name__
    public = [f"{place}.{name}" for place in PUBLIC if getattr(import_module(place), name, 0) is kind]
    if public:
        return link(public[-1])
    return f"{link(f'{kind.__module__}.{name}')} ({prose(docstring(kind)[0].rstrip('.'))})"


def called(function: Any) -> list[str]:
    """Full names of PyTorch's functions that a twin calls, read in its source."""
    tree = ast.parse(inspect.getsource(function))
    names = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    full = [name.replace("nn.", "torch.nn.", 1) if name.startswith("nn.") else name for name in names]
    return [name for name in full if name.startswith("torch.") and name != "torch.no_grad"]


def link(name: str) -> str:
    """The name as code, checked to exist, with PyTorch's manual behind it where it has a page of that name."""
    found = resolve_name(name)
    if name.startswith("torch.nn.init."):
        return f"[`{name}`]({MANUAL}nn.init.html#{name})"
    has_page = name.startswith(PUBLIC) or (inspect.isclass(found) and issubclass(found, nn.Module))
    return f"[`{name}`]({MANUAL}generated/{name}.html)" if has_page and name.startswith("torch.") else f"`{name}`"
