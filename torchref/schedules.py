"""Twins of the schedules: ``twin(schedule, optimizer) -> torch.optim.lr_scheduler.LRScheduler``.

Step it after each update; that of ReduceOnPlateau with the loss. Beyond its last step OneCycle's refuses to go on.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from scratch import schedules
from scratch.errors import InvalidInput


@singledispatch
def twin(schedule: schedules.Schedule, optimizer: Optimizer) -> LRScheduler:
    """PyTorch's scheduler for this optimizer. Raises InvalidInput for a schedule that has no twin yet."""
    raise InvalidInput(f"{type(schedule).__name__} has no torch twin: register one in torchref/schedules.py")


@twin.register
def _(schedule: schedules.Constant, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=1)


@twin.register
def _(schedule: schedules.StepDecay, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.StepLR(optimizer, schedule.every, schedule.factor)


@twin.register
def _(schedule: schedules.MultiStep, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.MultiStepLR(optimizer, schedule.milestones, schedule.factor)


@twin.register
def _(schedule: schedules.Exponential, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.ExponentialLR(optimizer, schedule.factor)


@twin.register
def _(schedule: schedules.InverseTime, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + schedule.decay * step))


@twin.register
def _(schedule: schedules.Polynomial, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.PolynomialLR(optimizer, schedule.steps, schedule.power)


@twin.register
def _(schedule: schedules.Cosine, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.CosineAnnealingLR(optimizer, schedule.steps, schedule.minimum)


@twin.register
def _(schedule: schedules.WarmRestarts, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, schedule.first, schedule.growth, schedule.minimum)


@twin.register
def _(schedule: schedules.OneCycle, optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        schedule.steps,
        pct_start=schedule.rise,
        anneal_strategy="cos" if schedule.anneal == "cos" else "linear",
        cycle_momentum=False,
        div_factor=schedule.divisor,
        final_div_factor=schedule.final_divisor,
        three_phase=schedule.three_phase,
    )


@twin.register
def _(schedule: schedules.Warmup, optimizer: Optimizer) -> LRScheduler:
    first = lr_scheduler.LinearLR(optimizer, schedule.beginning, total_iters=schedule.steps)
    return lr_scheduler.SequentialLR(optimizer, [first, twin(schedule.then, optimizer)], [schedule.steps])


@twin.register
def _(schedule: schedules.ReduceOnPlateau, optimizer: Optimizer) -> LRScheduler:
    options: dict[str, Any] = {"mode": schedule.mode, "threshold_mode": schedule.threshold_mode}
    return lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=schedule.factor,
        patience=schedule.patience,
        threshold=schedule.threshold,
        cooldown=schedule.cooldown,
        min_lr=schedule.minimum,
        eps=schedule.eps,
        **options,
    )
