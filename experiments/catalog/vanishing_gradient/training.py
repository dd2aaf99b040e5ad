"""What does it cost in training?

Networks of every activation, init scheme and depth in the same few steps: who has begun to learn.
"""

from experiments.lab import Cost, Figure, Frame, Lab, cells, each, figure, heatmap, panels, table
from scratch import initializers
from .shared import classifiers, followed, guessing

SAME = {
    "notes": "he",
    "lecun": "xavier",
}  # the same scheme, see the claim, or the same variance where layers are equally wide


def once(inits: tuple[str, ...]) -> list[str]:
    """What is the same is trained once only."""
    return [init for init in inits if SAME.get(init) not in inits]


@cells(each(depth="train_depths", activation="activations"), cost=Cost(3.6, 220))
def training(
    lab: Lab,
    depth: int,
    activation: str,
    inits: tuple[str, ...],
    train_width: int,
    train_steps: int,
    train_seeds: int,
    data: str,
    dtype: str,
) -> Frame:
    """Loss and accuracy on the test set along the way, for a stack (init, seed) of networks of ``depth`` layers."""
    names = once(inits)
    schemes, looked_at = [initializers.by_name()[init] for init in names], max(2, min(15, train_steps // 15))
    job = classifiers(activation, schemes, depth, train_width, train_steps, train_seeds, data, dtype, looked_at)
    return followed(lab, job, names)


@table
def reached(training: Frame) -> Frame:
    """Loss and accuracy on the test set at the last step, mean and standard error over seeds."""
    last = training[training.step == training.groupby(["depth", "activation"]).step.transform("max")]
    grouped = last.groupby(["activation", "depth", "init", "backend", "step", "quantity"], sort=False).value
    found = {"mean": grouped.mean(), "standard_error": grouped.sem(), "seeds": grouped.size()}
    return Frame(found).reset_index()


@table
def stalls(reached: Frame, data: str, dtype: str) -> Frame:
    """The number of layers from which each combination gains less than 1 % on guessing in these steps; NaN: none of them."""
    final = reached[reached.quantity == "loss"]
    from_depth = final.depth.where(final["mean"] > 0.99 * guessing(data, dtype))
    key = ["activation", "init", "backend"]
    return final.assign(from_depth=from_depth).groupby(key, sort=False).from_depth.min().reset_index()


@figure("What it costs")
def trained(reached: Frame) -> Figure:
    """Test accuracy after the same few steps of training (SGD with momentum), by init scheme and number of layers, mean
    over the seeds of scratch. Cells at the share of guessing have not begun to learn in these steps (tables/stalls.csv
    names the depth for each combination); some of them begin later, as the race shows, and the schemes that keep the
    gradient's size for their activation begin first.
    """
    chosen = reached[(reached.quantity == "accuracy") & (reached.backend == "scratch")]
    names, inits, depths = list(chosen.activation.unique()), list(chosen.init.unique()), sorted(chosen.depth.unique())
    titles = [f"{name}, {chosen.step.max()} steps" for name in names]
    figure, axes = panels(titles, width=2.9, margins=(1.2, 1.1, 0.6, 0.4))
    for ax, activation in zip(axes, names, strict=True):
        one = chosen[chosen.activation == activation].pivot(index="init", columns="depth", values="mean")
        image = heatmap(ax, one.reindex(index=inits, columns=depths).to_numpy(), depths, inits, low=0, high=1)
        ax.set_xlabel("layers")
    figure.colorbar(image, cax=figure.add_axes((0.925, 0.2, 0.015, 0.65)), label="test accuracy")
    return figure
