"""What if nobody standardised the inputs?

He's rule takes it for granted that they have mean square 1; LSUV looks at what comes.
"""

from collections.abc import Iterable

import numpy as np

from experiments.data import load
from experiments.lab import Array, Claim, Claims, Cost, Frame, Lab, cells, claims, compare, each, over_seeds, table
from scratch import SGD, Batch, CrossEntropy, Dense, Job, Network, Snapshot, Tanh
from .shared import SETTLED, STUDENT, batch_order, hidden, lsuv_and_he

SHIFT, STRETCH = 5.0, 6.0  # the digits' pixels are about 5 ± 6 before they are standardised
FOLLOWED = 10  # steps over which all networks of the two implementations are compared


@cells(each(rate="raw_rates"), cost=Cost(3.6, 310))
def raw(lab: Lab, rate: float, raw_seeds: int, raw_steps: int, data: str) -> Frame:
    """Loss on the test set along the way, of tanh networks on 5 + 6x: LSUV's weights and He's, on the same batches."""
    held = load(data)
    train, test = (Batch(SHIFT + STRETCH * part.x, part.y) for part in (held.train, held.test))
    layers = (*hidden(Tanh(), (32,) * 5, bias=True), Dense(held.classes))
    parameters = lsuv_and_he(Network(layers, held.features), raw_seeds, train.x[:, :SETTLED])
    order, looks = batch_order(2, raw_seeds, train.x.shape[1], raw_steps), (0, raw_steps // 2, raw_steps)
    optimizer = SGD(rate, momentum=0.9)
    job = Job(layers, CrossEntropy(), parameters, train, order, optimizer, looks, {"test": test})
    trained = lab.train(job, f"tanh on 5 + 6x, rate {rate:g}", members=2 * raw_seeds, steps=FOLLOWED)

    def losses(shots: Iterable[Snapshot]) -> Array:
        return np.array([CrossEntropy()(shot.scores["test"], test.y)[0] for shot in shots])

    return lab.rows(trained, losses, {"step": looks, "scheme": ["lsuv", "he"], "seed": range(raw_seeds)})


@table
def raw_ends(raw: Frame) -> Frame:
    """Test loss at the last step: mean over seeds, for each rate and scheme."""
    last = raw[raw.step == raw.step.max()].sort_values(["rate", "backend", "scheme", "seed"])
    return over_seeds(last, ["rate", "scheme", "backend"]).drop(columns=["seeds", "dof"])


@table
def raw_pairs(raw: Frame) -> Frame:
    """He's test loss less LSUV's at the last step, paired by seed, each at the rate that the other seeds like best."""
    rows = []
    for backend, run in raw[raw.step == raw.step.max()].groupby("backend", sort=False):
        best = {}
        for scheme, group in run.groupby("scheme"):
            losses = group.pivot(index="seed", columns="rate", values="value").to_numpy(float)
            others = losses.sum(0) - losses
            best[scheme] = losses[np.arange(len(losses)), others.argmin(1)]
        apart = best["he"] - best["lsuv"]
        rows.append((backend, apart.mean(), apart.std(ddof=1) / np.sqrt(len(apart)), len(apart) - 1))
    return Frame(rows, columns=["backend", "measured", "standard_error", "dof"])


@claims
def standardised(raw_pairs: Frame) -> Claims:
    yield Claim(
        "LSUV: data that nobody standardised",
        "On inputs 5 + 6x a tanh network learns more from LSUV's weights than from He's, each at the learning rate that suits it best.",
        "Mishkin & Matas 2016; He 2015 assumes inputs of mean square 1",
        f"He's last test loss less LSUV's, the same batches; each seed's rates are chosen by the others. {STUDENT}",
        "the two exchanged",
        compare(raw_pairs, "last step, best rates", predicted=0.0, control_measured=-raw_pairs.measured),
        "at least",
    )
