"""How long does a sigmoid unit take to unlearn a wrong answer?

Cross-entropy teaches it by a − y, squared error by 2(a − y)·a(1 − a), which is next to nothing where the unit is surely wrong: the
one needs a time in proportion to how wrong it is, the other one that grows exponentially.
"""

from dataclasses import replace

import numpy as np

import scratch as s
from experiments.lab import Claim, Cost, Lab, cells, claims, compare, each, fan, figure, logarithmic, stacked, table
from experiments.lab.figures import key, panels
from experiments.lab.types import Claims, Figure, Frame
from scratch import Batch, Job
from scratch.network import Parameters
from . import laws
from .shared import BINARY, OTHER, UNIT, farthest


@cells(each(loss=BINARY), cost=Cost(0.05, 11))
def slopes(lab: Lab, loss: str) -> Frame:
    """∂J/∂z of a sigmoid unit whose answer should be 1, over z."""
    z, (own, last) = np.linspace(-20, 10, 121)[:, None, None], BINARY[loss]
    job = Job((s.Identity(), *last), own, ({},) * (1 + len(last)), Batch(z, np.ones_like(z)))
    return lab.rows(lab.look(job, loss), lambda shot: shot.output_gradients[0], {"z": z.ravel().tolist()})


@cells(each(loss=BINARY), cost=Cost(1.5, 50, {"rate": -1}))
def escape(lab: Lab, loss: str, wrong: tuple[float, ...], rate: float) -> Frame:
    """Single sigmoid units that should answer 1 and start at z = −s: z after as many steps as they need to come to 0."""
    own, last = BINARY[loss]
    steps = [max(1, round(laws.needed(loss, far) / rate)) for far in wrong]
    bias = -np.array(wrong, float)[:, None, None]
    start: Parameters = ({"W": np.zeros_like(bias), "b": bias}, *({} for _ in last))
    still = Batch(np.zeros((1, 1)), np.ones((1, 1)))
    order = np.zeros((max(steps) + 1, 1), int)
    job = Job((s.Dense(1), *last), own, start, still, order, s.SGD(rate), tuple(sorted(set(steps))))
    lab.look(replace(job, batches=None, snapshots=(0,)), loss)
    rows = []
    for backend, shots in lab.train(job, loss).items():
        seen = {shot.step: shot.parameters[0]["b"].ravel() for shot in shots}
        rows += [{"loss": loss, "backend": backend, "wrong": far, "steps": count, "z": seen[count][k]}
                 for k, (far, count) in enumerate(zip(wrong, steps, strict=True))]  # fmt: skip
    return Frame(rows)


@table
def signal(slopes: Frame) -> Frame:
    """With what is predicted, and what rounding does to it."""
    found = []
    for loss, rows in slopes.groupby("loss", sort=False):
        error, law = laws.slope_error(loss, rows.z), laws.slope(loss, rows.z)
        columns = {"measured": rows.value, "standard_error": error, "predicted": law}
        found.append(rows[["loss", "backend", "z"]].assign(**columns))
    return stacked(found)


@table
def times(escape: Frame, rate: float) -> Frame:
    """Time to z = 0, carried there by the law from where the last step ended."""
    found = []
    for loss, one in escape.groupby("loss", sort=False):
        z, far = one.z.to_numpy(float), one.wrong.to_numpy(float)
        late, whole = (laws.late(loss, at, far, rate) for at in (z, 0 * z))
        flow = np.array([laws.needed(loss, w) for w in far])
        found.append(
            one.assign(
                measured=rate * one.steps - (laws.clock(loss, z) - laws.clock(loss, 0.0)) - late + whole,
                predicted=flow + whole,
                flow=flow,
                # every step rounds z by u·s, which at the start counts for most on the clock
                standard_error=UNIT * far * np.sqrt(one.steps) / np.abs(laws.slope(loss, -far)),
                tolerance=laws.late_again(rate),
            )
        )
    return stacked(found)


@claims
def of_signals(signal: Frame) -> Claims:
    found = []
    for loss, rows in signal.groupby("loss", sort=False):
        wide = rows.pivot(index="z", columns="backend")
        law, control = wide.predicted.scratch, laws.slope(OTHER[loss], wide.index.to_numpy())
        seen = {name: (wide.measured[name], law, control) for name in rows.backend.unique()}
        found.append(farthest(seen, wide.standard_error.scratch, loss=loss))
    yield Claim(
        name="signal of a wrong answer",
        statement="Cross-entropy teaches a sigmoid unit by a − y, squared error by 2(a − y)·a(1 − a), which vanishes where the unit is "
        "surely wrong.",
        source="chain rule",
        basis="Over z from −20 to 10; the rounding of a, which 1 − a does not forget, counts as the standard error.",
        control="the other loss's signal",
        comparisons=compare(stacked(found), "{loss}"),
    )


@claims
def of_times(times: Frame) -> Claims:
    other = [laws.needed(OTHER[loss], far) for loss, far in zip(times.loss, times.wrong, strict=True)]
    yield Claim(
        name="time to unlearn",
        statement="A unit wrong by s needs 1 + s − e^−s under cross-entropy, but about e^s/2 under squared error (learning rate × steps).",
        source="gradient flow, ∫ dz/−(∂J/∂z)",
        basis="Closed form, and the first correction for steps of finite size, (η/2) ln f; the second, 0.4·η²/12 at most, is allowed for.",
        control="the other loss's time",
        comparisons=compare(times, "{loss}, s = {wrong}", control_predicted=other),
    )


@figure("Surely wrong: what is taught, and how long it takes")
def wrong(signal: Frame, times: Frame) -> Figure:
    """A sigmoid unit whose answer should be 1. Left: the learning signal −∂J/∂z. Far on the wrong side (left) cross-entropy's is 1
    and squared error's fades as e^z; where the answer is right (right) both fade. Right: the time, learning rate × steps, until a
    unit that starts at z = −s has come to 0. The lines are the closed forms a − y and 2(a − y)a(1 − a), and 1 + s − e^−s
    and about e^s/2 with the correction for steps of finite size; nothing is fitted.
    """
    figure, axes = panels(
        ["what is taught", "how long it takes"], width=3.7, share_y=False, margins=(0.95, 2.5, 0.6, 0.4)
    )
    shown = signal.assign(measured=signal.measured.abs(), predicted=signal.predicted.abs(), standard_error=0.0)
    fan(axes[0], shown, "loss", x="z")
    fan(axes[1], times, "loss", x="wrong")
    axes[0].set(xlabel="logit z (wrong on the left)", ylabel="size of ∂J/∂z", yscale="log", ylim=(1e-9, 5))
    axes[1].set(xlabel="s: how far on the wrong side it starts", ylabel="time to z = 0 (rate × steps)", yscale="log")
    logarithmic(axes[1].yaxis, times.measured)
    return key(figure, axes)
