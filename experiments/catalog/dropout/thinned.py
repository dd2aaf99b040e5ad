"""Of all thinned networks, what does the one without dropout stand for?

Their normalized geometric mean, exactly, if everything above the dropped units is linear up to the softmax.
"""

import numpy as np
from scipy.special import logsumexp

from experiments.lab import Claim, Claims, Cost, Figure, Frame, Lab, cells, claims, compare, each, figure, matched
from experiments.lab.figures import COLOURS, MARKERS, RING, key, panels
from scratch import Dense, Dropout, LogSoftmax, NegativeLogLikelihood, Tanh
from .shared import ROUNDING, after_training, all_masks, chances, learned, pixels, under_all

NETWORKS = {  # where dropout stands among the layers below the softmax
    "softmax regression": lambda drop, hidden: (drop,),
    "last hidden layer": lambda drop, hidden: (hidden, Tanh(), drop),
    "two linear layers": lambda drop, hidden: (drop, hidden),
    "below a hidden layer": lambda drop, hidden: (drop, hidden, Tanh()),
}


@cells(each(network=NETWORKS, keep=(0.5, 0.8)), cost=Cost(0.53, 220))
def geometric(lab: Lab, network: str, keep: float, features: int, images: int) -> Frame:
    """How far scaling lies from the mean over all thinned networks, geometric and arithmetic, in log-probability."""
    layers = (*NETWORKS[network](Dropout(1 - keep), Dense(features)), Dense(10), LogSoftmax())
    batch, loss, condition = pixels(features, images), NegativeLogLikelihood(), f"{network}, keep {keep}"
    trained = layers, loss, learned(layers, loss, batch), batch
    shots = under_all(lab, *trained, condition)
    plain = lab.look(after_training(*trained), f"{condition}, after training")
    chance, rows = chances(all_masks(features), keep), []
    for name, shot in shots.items():
        logs, scaled = shot.outputs[-1], plain[name].outputs[-1]
        mean = np.tensordot(chance, logs, 1)
        found = {
            "geometric": mean - logsumexp(mean, axis=0),
            "arithmetic": logsumexp(logs, axis=0, b=chance[:, None, None]),
        }
        apart = {kind: abs(a - scaled).max() for kind, a in found.items()}
        probable = {f"{kind}_probability": abs(np.exp(a) - np.exp(scaled)).max() for kind, a in found.items()}
        named = {"backend": name, "network": network, "keep": keep}
        rows.append(named | apart | probable | {"largest": abs(logs).max()})
    return Frame(rows)


@claims
def geometric_mean(geometric: Frame, features: int) -> Claims:
    softmax, *_, curved = NETWORKS
    exact = geometric[geometric.network != curved]
    other = matched(exact, geometric[geometric.network == curved], ["backend", "keep"]).geometric
    yield Claim(
        name="scaling is a geometric mean",
        statement="Without dropout the network gives the normalized geometric mean of all thinned networks, if all above dropout is "
        "linear.",
        source="Hinton 2012; Srivastava 2014",
        basis="Largest difference of any log-probability. Standard error: √(2ⁿ)·u, for the sum over 2ⁿ masks, times the largest of them.",
        control="softmax regression: the arithmetic mean; the others: dropout below a hidden tanh layer",
        comparisons=compare(
            exact,
            "{network}, keep {keep}",
            measured=exact.geometric,
            predicted=0.0,
            standard_error=ROUNDING * np.sqrt(2.0**features) * exact.largest,
            control_measured=np.where(exact.network == softmax, exact.arithmetic, other),
        ),
    )


@figure("One network for all thinned ones")
def one_for_all(geometric: Frame) -> Figure:
    """How far the network without dropout lies from the mean of all thinned networks: the largest difference of any
    log-probability, on a logarithmic axis. It is their normalized geometric mean to the last digit wherever everything
    above the dropped units is linear up to the softmax, and never their arithmetic mean. Upper points: p = 0.5, lower: 0.8.
    """
    figure, (ax,) = panels([""], width=5.2, height=2.6, margins=(2.2, 2.4, 0.65, 0.15))
    names = list(geometric.network.unique())[::-1]
    shift = np.where(geometric.keep < geometric.keep.max(), 0.14, -0.14)
    held = geometric.assign(row=geometric.network.map(names.index) + shift)
    for index, kind in enumerate(("geometric", "arithmetic")):
        point = {"marker": MARKERS[index], "linestyle": "none", "markersize": 5, "label": f"{kind} mean"}
        for backend, look in (("scratch", point), ("torchref", RING)):
            one = held[held.backend == backend]
            ax.plot(np.maximum(one[kind], 1e-17), one.row, color=COLOURS[index], **look)
    ax.set_yticks(range(len(names)), names)
    ax.set(
        xscale="log", xlabel="largest difference in log-probability", ylim=(-0.5, len(names) - 0.5), xlim=(1e-16, 100)
    )
    return key(figure, [ax], predicted=False)
