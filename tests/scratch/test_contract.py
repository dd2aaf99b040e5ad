"""Wrong input gets one clear error, InvalidInput, that names the place; right input gets none."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import helpers
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

import scratch
from scratch import (
    SGD,
    Adam,
    Batch,
    BatchNorm,
    BinaryCrossEntropy,
    CrossEntropy,
    Dense,
    Dropout,
    InnerProduct,
    InvalidInput,
    Job,
    LayerNorm,
    Network,
    Residual,
    SquaredError,
    Tanh,
)
from scratch import training as ours
from scratch.errors import unknown
from torchref import training as theirs

DATA = np.array([[0.5, -1.0, 2.0, 0.25], [1.5, 0.0, -0.5, 1.0]])
X, LABELS, NUMBERS = np.zeros((2, 4)), np.array([0, 2, 1, 0]), np.full((3, 4), 0.5)
LAYERS = (Dense(5), Tanh(), Dense(3))


def job(**changes):
    fields = {
        "layers": LAYERS,
        "loss": CrossEntropy(),
        "parameters": helpers.parameters(LAYERS, features=2),
        "data": Batch(X, LABELS),
    }
    return Job(**(fields | changes))


def with_parameter(layer, **changes):
    """The right parameters with some of one layer's arrays replaced, added, or (None) left out."""
    p = list(helpers.parameters(LAYERS, features=2))
    p[layer] = {name: a for name, a in (p[layer] | changes).items() if a is not None}
    return tuple(p)


def spoilt(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def test_right_input_is_accepted():
    """Checks that refuse what is right would make every other test here pass too."""
    job()
    job(data=Batch(X.astype("f4"), LABELS.astype("u1")), parameters=helpers.parameters(LAYERS, dtype="f4", features=2))
    job(loss=SquaredError(), data=Batch(X, NUMBERS))
    job(loss=BinaryCrossEntropy(), data=Batch(X, spoilt(spoilt(NUMBERS, (0, 0), 0.0), (1, 1), 1.0)))
    job(loss=InnerProduct(), data=Batch(X, -5 * NUMBERS))
    job(batches=np.array([[0, 3], [1, 2]]), snapshots=(0, 1))
    job(parameters=helpers.parameters(LAYERS, (2, 3), features=2))
    rich(buffers=BUFFERS, optimizer=SGD(0.1))
    rich((2, 3), buffers=Network(RICH, 2).buffers((2, 3)), optimizer=SGD(((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))))
    rich((2,), data=Batch(np.stack([DATA] * 2), LABELS), loss=CrossEntropy(reduction="sum"))
    assert issubclass(InvalidInput, ValueError)


BAD_BATCHES = {
    "NaN in X": (spoilt(X, (1, 2), np.nan), LABELS, r"X holds nan at \(1, 2\)"),
    "infinity in X": (spoilt(X, (0, 3), -np.inf), LABELS, r"X holds -inf at \(0, 3\)"),
    "NaN in Y": (X, spoilt(NUMBERS, (2, 1), np.nan), r"Y holds nan at \(2, 1\)"),
    "infinity in Y": (X, spoilt(NUMBERS, (0, 0), np.inf), r"Y holds inf at \(0, 0\)"),
    "fewer labels": (X, LABELS[:3], r"X holds 4 examples.*Y 3"),
    "fewer columns of Y": (X, NUMBERS[:, :2], r"X holds 4 examples.*Y 2"),
    "Y a single number": (X, np.array(1), "Y none"),
    "one dimension": (np.zeros(4), LABELS, r"\(…, features, examples\), got float64 \(4,\)"),
    "whole numbers": (np.zeros((2, 4), int), LABELS, "floating point.*int64"),
    "Y of another type": (X, NUMBERS.astype("f4"), "Y must be integer labels or of X's type float64, got float32"),
    "complex numbers": (np.zeros((2, 4), complex), LABELS, "floating point.*complex128.*: x.real"),
    "datetimes": (X.astype("M8[s]"), LABELS, r"floating point.*datetime64.*say in which unit, \(x - x.min"),
    "Booleans": (X > 0, LABELS, r"floating point.*bool .*: x.astype\(np.float64\)"),
    "unsigned ids": (X.astype(np.uint64), LABELS, r"floating point.*uint64 .*: x.astype\(np.float64\)"),
    "objects": (X.astype(object), LABELS, r"floating point.*object .*: x.astype\(np.float64\)"),
    "text": (X.astype(str), LABELS, "floating point.*<U.*: numbers, not text"),
    "half precision": (X.astype("f2"), LABELS, r"got float16: x.astype\(np.float64\)"),
    "a list": (X.tolist(), LABELS, r"got list and ndarray: np.array\(x\)"),
    "labels in a list": (X, LABELS.tolist(), r"got ndarray and list: np.array\(x\)"),
    "a DataFrame": (pd.DataFrame(X), LABELS, r"got DataFrame and ndarray: x.to_numpy\(\)"),
    "a tensor": (torch.zeros(2, 4), LABELS, r"got Tensor and ndarray: x.numpy\(\)"),
    "a sparse matrix": (csr_matrix(X), LABELS, r"got csr_matrix and ndarray: x.toarray\(\)"),
    "labels beyond int64": (X, LABELS.astype(np.uint64) + np.uint64(2**63), r"Y holds 9223372036854775810: .* int64"),
    "labels as Booleans": (X, LABELS > 0, r"got bool: y.astype\(int\)"),
    "examples in rows": (X.T, LABELS, r"2 examples.*Y 4: transpose, an example is a column \(x.T\)"),
    "examples in rows, stacked": (np.stack([X.T] * 3), LABELS, r"transpose, an example is a column \(x.T\)"),
    "examples and numbers in rows": (X.T, NUMBERS.T, r"transpose, an example is a column \(x.T, y.T\)"),
    "examples in rows, numbers not": (X.T, NUMBERS, r"transpose, an example is a column \(x.T\)"),
    "numbers in rows": (X, NUMBERS.T, r"transpose Y, an example is a column \(y.T\)"),
    "labels in a column": (X, LABELS[:, None], r"Y 1: labels are \(m,\), y.ravel\(\)"),
    "one example without its axis": (X[:, 0], LABELS[:1], r"x\[:, None\] is one example"),
}


@pytest.mark.parametrize("x, y, words", BAD_BATCHES.values(), ids=BAD_BATCHES)
def test_bad_batch(x, y, words):
    """Data that NumPy would quietly broadcast or carry on as NaN."""
    with pytest.raises(InvalidInput, match=words):
        Batch(x, y)


BAD_JOBS = {
    "label too large": ({"data": Batch(X, spoilt(LABELS, 1, 3))}, r"labels must lie in 0 … 2; found 0 … 3"),
    "negative label": ({"data": Batch(X, spoilt(LABELS, 1, -1))}, r"labels must lie in 0 … 2; found -1 … 1"),
    "too few rows of Y": ({"data": Batch(X, NUMBERS[:2])}, r"Y must be \(…, 3, m\), one row an output, got \(2, 4\)"),
    "too many rows of Y": (
        {"loss": SquaredError(), "data": Batch(X, np.ones((4, 4)))},
        r"Y must be \(…, 3, m\).*\(4, 4\)",
    ),
    "one row of Y would broadcast": (
        {"loss": SquaredError(), "data": Batch(X, NUMBERS[:1])},
        r"Y must be \(…, 3, m\).*\(1, 4\)",
    ),
    "Y without rows": ({"loss": SquaredError(), "data": Batch(X, NUMBERS[0])}, r"Y must be \(…, 3, m\).*\(4,\)"),
    "binary target above 1": (
        {"loss": BinaryCrossEntropy(), "data": Batch(X, spoilt(NUMBERS, (0, 0), 1.5))},
        r"\[0, 1\]; found 0.5 … 1.5",
    ),
    "binary target below 0": (
        {"loss": BinaryCrossEntropy(), "data": Batch(X, spoilt(NUMBERS, (0, 0), -0.5))},
        r"\[0, 1\]; found -0.5 … 0.5",
    ),
    "no layers": ({"layers": (), "parameters": ()}, "at least one layer"),
    "layer without parameters": (
        {"parameters": helpers.parameters(LAYERS, features=2)[:2]},
        "parameters for 2 layers, but the network has 3",
    ),
    "W of another shape": (
        {"parameters": with_parameter(2, W=np.zeros((3, 4)))},
        r"layer 2 .*W must be \(…, 3, 5\), got \(3, 4\)",
    ),
    "W transposed": (
        {"parameters": with_parameter(0, W=np.zeros((2, 5)))},
        r"layer 0 .*W must be \(…, 5, 2\), got \(2, 5\)",
    ),
    "W a vector": ({"parameters": with_parameter(0, W=np.zeros(5))}, r"layer 0 .*W must be .*got \(5,\)"),
    "b a row": (
        {"parameters": with_parameter(0, b=np.zeros((1, 5)))},
        r"layer 0 .*b must be \(…, 5, 1\), got \(1, 5\)",
    ),
    "b a vector": ({"parameters": with_parameter(0, b=np.zeros(5))}, r"layer 0 .*b must be .*got \(5,\)"),
    "no b": ({"parameters": with_parameter(0, b=None)}, r"layer 0 .*expected \['W', 'b'\], got \['W'\]"),
    "another name": (
        {"parameters": with_parameter(2, weight=np.zeros((3, 5)), W=None)},
        r"layer 2 .*expected \['W', 'b'\], got \['b', 'weight'\]",
    ),
    "parameters of an activation": (
        {"parameters": with_parameter(1, W=np.zeros((5, 5)))},
        r"layer 1 \(Tanh\(\)\): expected \[\], got \['W'\]",
    ),
    "stacks that differ": (
        {"parameters": with_parameter(0, W=np.zeros((7, 5, 2)), b=np.zeros((7, 5, 1)))},
        r"stacked in different.*\(7,\)",
    ),
    "W and b stacked differently": (
        {"parameters": with_parameter(0, W=np.zeros((7, 5, 2)))},
        r"stacked in different.*\(7,\)",
    ),
    "batch column too large": ({"batches": np.array([[0, 1], [2, 4]])}, r"columns 0 … 3"),
    "batch column negative": ({"batches": np.array([[0, 1], [-1, 3]])}, r"columns 0 … 3"),
    "batch columns not whole": ({"batches": np.array([[0.0, 1.0]])}, "batches must be whole numbers.*float64"),
    "batches without steps": ({"batches": np.array([0, 1])}, r"batches must be whole numbers \(steps, …, b\).*\(2,\)"),
    "own batches of stacked data": (
        {"batches": np.zeros((2, 3, 1), int), "data": Batch(np.stack([X] * 3), LABELS)},
        "batches of its own.*without leading axes",
    ),
    "parameters of another type": (
        {"parameters": helpers.parameters(LAYERS, dtype="f4", features=2)},
        "layer 0: W is float32, but the data is float64",
    ),
    "evaluation data of another width": (
        {"evaluate": {"test": Batch(np.zeros((3, 4)), LABELS)}},
        r"evaluate\['test'\] has 3 features, the data 2",
    ),
    "evaluation data in rows": (
        {"evaluate": {"test": Batch(np.zeros((4, 2)), LABELS[:2])}},
        r"evaluate\['test'\] has 4 features, the data 2: transpose",
    ),
    "evaluation data as a pair": (
        {"evaluate": {"test": (X, LABELS)}},
        r"evaluate\['test'\] must be a Batch, got tuple",
    ),
    "empty batches": ({"batches": np.zeros((2, 0), int)}, "at least one"),
    "snapshot after the end": (
        {"batches": np.array([[0, 1], [2, 3]]), "snapshots": (0, 2)},
        r"snapshots at \(0, 2\).*0 … 1",
    ),
    "snapshot before the start": ({"batches": np.array([[0, 1], [2, 3]]), "snapshots": (-1,)}, r"snapshots at \(-1,\)"),
}


@pytest.mark.parametrize("changes, words", BAD_JOBS.values(), ids=BAD_JOBS)
def test_bad_job(changes, words):
    """A mistake that would come out later as a shape error in the depths, or as a wrong number."""
    with pytest.raises(InvalidInput, match=words):
        job(**changes)


RICH = (Dense(5, bias=False), BatchNorm(), Dropout(0.5), Dense(3))
MASKS = ({}, {}, {"mask": np.array([[True, False, True, True]] * 5)}, {})
BUFFERS = Network(RICH, 2).buffers()


def rich(leading=(), noise=lambda step: MASKS, **changes):
    """A job with buffers and a mask."""
    p = helpers.parameters(RICH, leading, features=2)
    fields = {"layers": RICH, "parameters": p, "data": Batch(DATA, LABELS), "noise": noise}
    return job(**(fields | changes))


def with_buffer(**changes):
    """The right buffers with some of batch norm's replaced, added, or (None) left out."""
    named = {name: a for name, a in (BUFFERS[1] | changes).items() if a is not None}
    return (BUFFERS[0], named, *BUFFERS[2:])


BAD_RICH = {
    "no noise": ({"noise": None}, "a layer with dropout needs noise"),
    "buffer of another shape": (
        {"buffers": with_buffer(running_mean=np.zeros((4, 1)))},
        r"layer 1 .*running_mean must be \(…, 5, 1\), got \(4, 1\)",
    ),
    "buffer a vector": (
        {"buffers": with_buffer(running_var=np.ones(5))},
        r"layer 1 .*running_var must be .*got \(5,\)",
    ),
    "buffer missing": (
        {"buffers": with_buffer(num_batches_tracked=None)},
        r"layer 1 .*expected \['running_mean', 'running_var', 'num_batches_tracked'\], got",
    ),
    "buffers of too few layers": ({"buffers": BUFFERS[:3]}, "buffers for 3 layers, but the network has 4"),
    "buffer of another type": (
        {"buffers": with_buffer(running_mean=np.zeros((5, 1), "f4"))},
        "layer 1: running_mean is float32, but the data is float64",
    ),
    "buffers stacked, networks not": (
        {"buffers": Network(RICH, 2).buffers((3,))},
        r"buffers are stacked as \[\(3,\)\], the parameters as \(\)",
    ),
    "networks stacked, buffers not": (
        {"leading": (3,), "buffers": BUFFERS},
        r"buffers are stacked as \[\(\)\], the parameters as \(3,\)",
    ),
    "rates for one network": ({"optimizer": SGD((0.1, 0.2))}, r"learning rates \(2,\) for networks stacked as \(\)"),
    "rates too few": (
        {"leading": (3,), "optimizer": Adam((0.1, 0.2))},
        r"learning rates \(2,\) for networks stacked as \(3,\)",
    ),
    "rates for the last axis": (
        {"leading": (2, 3), "optimizer": SGD((0.1,) * 3)},
        r"learning rates \(3,\) .* \(2, 3\)",
    ),
    "loss not reduced": ({"loss": CrossEntropy(reduction="none")}, "reduce by 'mean' or 'sum'"),
    "ragged stacked batches": (
        {"leading": (3,), "batches": [np.zeros((3, 2), int), np.zeros((3, 1), int)]},
        r"must be arrays \(b,\), the same for every network",
    ),
    "ragged column too large": ({"batches": [np.array([0, 1, 2]), np.array([4])]}, "columns 0 … 3"),
    "ragged empty batch": ({"batches": [np.array([0, 1]), np.array([], int)]}, "at least one"),
    "ragged not whole": ({"batches": [np.array([0, 1]), np.array([0.0])]}, "whole numbers.*float64"),
    "no batches": ({"batches": []}, "at least one step"),
    "snapshot after the last ragged batch": ({"batches": [np.array([0, 1])], "snapshots": (1,)}, "steps 0 … 0"),
    "X stacked, network not": (
        {"data": Batch(np.stack([DATA] * 3), LABELS)},
        r"data: X is stacked as \(3,\), the networks as \(\)",
    ),
    "Y stacked in another way": (
        {"leading": (2,), "loss": SquaredError(), "data": Batch(DATA, np.stack([NUMBERS] * 3))},
        r"data: Y is stacked as \(3,\), the networks as \(2,\)",
    ),
    "unseen data stacked in another way": (
        {"leading": (2,), "evaluate": {"test": Batch(np.stack([DATA] * 3), LABELS)}},
        r"evaluate\['test'\]: X is stacked as \(3,\)",
    ),
    "residual that changes the width": (
        {"layers": (Residual((Dense(3),)),)},
        r"turn 2 units into 3: X \+ f\(X\) needs as many",
    ),
}


@pytest.mark.parametrize("changes, words", BAD_RICH.values(), ids=BAD_RICH)
def test_bad_job_with_buffers_and_noise(changes, words):
    """What the newer fields of a job may get wrong."""
    with pytest.raises(InvalidInput, match=words):
        rich(**changes)


BAD_NOISE = {
    "no mask": ({}, r"layer 2 .*expected \['mask'\], got \[\]"),
    "another name": ({"noise": MASKS[2]["mask"]}, r"layer 2 .*expected \['mask'\], got \['noise'\]"),
    "other rows": ({"mask": np.ones((4, 4), bool)}, r"layer 2 .*mask must be \(…, 5, 4\), got \(4, 4\)"),
    "other columns": ({"mask": np.ones((5, 1), bool)}, r"layer 2 .*mask must be \(…, 5, 4\), got \(5, 1\)"),
}


@pytest.mark.parametrize("backend", [ours, theirs], ids=["scratch", "torchref"])
@pytest.mark.parametrize("handed, words", BAD_NOISE.values(), ids=BAD_NOISE)
def test_bad_noise(backend, handed, words):
    """A mask that would broadcast, or that no layer sees: known only once it is asked for, by both backends."""
    given = rich(noise=lambda step: ({}, {}, handed, {}), batches=np.array([[0, 1, 2, 3]] * 2))
    for call in (lambda: backend.snapshot(given), lambda: list(backend.train(given))):
        with pytest.raises(InvalidInput, match=words):
            call()


@pytest.mark.parametrize("backend", [ours, theirs], ids=["scratch", "torchref"])
def test_batch_norm_needs_two_examples(backend):
    """A variance of one number: PyTorch raises ValueError, and so do both backends, in training and in looking."""
    layers = (Dense(5), BatchNorm(), Dense(3))
    given = job(
        layers=layers, parameters=helpers.parameters(layers, features=2), batches=np.zeros((2, 1), int), snapshots=()
    )
    look = replace(given, data=given.data.columns(np.array([1])), batches=None)
    with pytest.raises(InvalidInput, match=r"BatchNorm\(.*at least two examples in a batch, got 1"):
        list(backend.train(given))
    with pytest.raises(InvalidInput, match="at least two examples in a batch, got 1"):
        backend.snapshot(look)
    one = replace(given, evaluate={"one": look.data}, batches=np.array([[0, 1]]), snapshots=(0,))
    assert next(iter(backend.train(one))).scores["one"].shape == (3, 1)  # after training a single example is enough


@pytest.mark.parametrize("backend", [ours, theirs], ids=["scratch", "torchref"])
def test_ragged_batches_are_accepted(backend):
    """The last batch of an epoch is smaller; a list or a tuple of arrays, masks as wide as each."""
    masks = [({}, {}, {"mask": np.ones((5, size), bool)}, {}) for size in (4, 2, 3)]
    for kind in (list, tuple):
        chosen = kind((np.arange(4), np.array([2, 0]), np.array([3, 1, 1])))
        for leading in ((), (3,)):
            given = rich(leading, noise=masks.__getitem__, batches=chosen, snapshots=(0, 1, 2))
            shots = list(backend.train(given))
            assert [shot.outputs[-1].shape for shot in shots] == [(*leading, 3, size) for size in (4, 2, 3)]


BAD_PIECES = {
    "no units": (lambda: Dense(0), r"Dense\(units=0\).*at least one unit"),
    "negative units": (lambda: Dense(-2), r"Dense\(units=-2\)"),
    "no features": (lambda: Network(LAYERS, 0), r"Network\(inputs=0\): must be at least one input feature"),
    "empty network": (lambda: Network((), 2), "at least one layer"),
    "rate 0": (lambda: SGD(0.0), r"learning_rate=0.0\): must be positive"),
    "negative rate": (lambda: SGD(-0.1), r"learning_rate=-0.1"),
    "rate NaN": (lambda: SGD(float("nan")), r"learning_rate=nan"),
    "momentum 1": (lambda: SGD(0.1, 1.0), r"momentum=1.0\): must lie in \[0, 1\)"),
    "negative momentum": (lambda: SGD(0.1, -0.1), r"momentum=-0.1"),
    "momentum NaN": (lambda: SGD(0.1, float("nan")), r"momentum=nan"),
    "dropout rate above 1": (lambda: Dropout(1.5), r"Dropout\(rate=1.5\): must lie in \[0, 1\]"),
    "negative dropout rate": (lambda: Dropout(-0.1), r"Dropout\(rate=-0.1\)"),
    "dropout rate NaN": (lambda: Dropout(float("nan")), r"Dropout\(rate=nan\)"),
    "batch norm's eps": (lambda: BatchNorm(-1e-5), r"BatchNorm\(eps=-1e-05\)"),
    "batch norm's momentum": (
        lambda: BatchNorm(momentum=1.1),
        r"BatchNorm\(momentum=1.1\): must lie in \[0, 1\], or be None",
    ),
    "batch norm's momentum NaN": (lambda: BatchNorm(momentum=float("nan")), r"BatchNorm\(momentum=nan\)"),
    "layer norm's eps": (lambda: LayerNorm(-1.0), r"LayerNorm\(eps=-1.0\)"),
    "residual of nothing": (lambda: Residual(()), r"Residual\(layers=\(\)\): must hold at least one layer"),
    "residual that changes the width": (lambda: Residual((Dense(3), Tanh())).width(2), "turn 2 units into 3"),
    "dropout without a mask": (lambda: Dropout().forward({}, X), "training needs a mask"),
    "flatten what does not fit": (
        lambda: Network(LAYERS, 3).flatten(helpers.parameters(LAYERS, features=2)),
        r"layer 0 .*W must be",
    ),
    "label of indicator": (lambda: scratch.categorical.indicator(np.array([0, 5]), 5), r"0 … 4; found 0 … 5"),
}


@pytest.mark.parametrize("make, words", BAD_PIECES.values(), ids=BAD_PIECES)
def test_bad_piece(make, words):
    """An option out of range that would train, wrongly, without a word."""
    with pytest.raises(InvalidInput, match=words):
        make()


# Integers are labels, and only cross-entropy knows what to do with labels. Anything else broadcasts a row of labels over
# all outputs in scratch, or reaches torch as labels and fails there.
@pytest.mark.parametrize(
    "loss", [SquaredError(), BinaryCrossEntropy(), InnerProduct()], ids=lambda loss: type(loss).__name__
)
@pytest.mark.parametrize("y", [LABELS % 2, np.ones((3, 4), int)], ids=["labels", "matrix"])
def test_whole_numbers_for_a_loss_of_numbers(loss, y):
    """Either both implementations compute the same from whole numbers, or the job is refused: never one of them."""
    try:
        given = job(loss=loss, data=Batch(X, y))
    except InvalidInput:
        return
    assert y.ndim == 2, "labels were accepted where every output needs a number"
    np.testing.assert_allclose(ours.snapshot(given).loss, theirs.snapshot(given).loss, rtol=1e-13)


def test_whole_number_matrix_for_cross_entropy():
    """A one-hot matrix of integers is neither labels nor probabilities: refused, or read alike by both."""
    try:
        given = job(data=Batch(X, np.eye(3, dtype=int)[:, LABELS]))
    except InvalidInput:
        return
    np.testing.assert_allclose(ours.snapshot(given).loss, ours.snapshot(job()).loss, rtol=1e-13)
    np.testing.assert_allclose(theirs.snapshot(given).loss, ours.snapshot(job()).loss, rtol=1e-13)


def test_descriptions_are_frozen():
    """A description that changes after it was hashed or handed to the other backend."""
    for thing, name in ((Dense(3), "units"), (SGD(0.1), "learning_rate"), (Batch(X, LABELS), "x"), (job(), "loss")):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, 1)
    assert Dense(3) == Dense(3) != Dense(3, bias=False) and hash(Dense(3)) == hash(Dense(3))


@pytest.mark.parametrize("backend", [ours, theirs], ids=["scratch", "torchref"])
def test_train_needs_batches(backend):
    """Training on nothing must not return an empty stream."""
    with pytest.raises(ValueError, match=r"job\.batches"):
        list(backend.train(job()))


@pytest.mark.parametrize(
    "device, words", [("abacus", "no device 'abacus'.*cpu, cuda, mps"), ("mps", "float64|finds none")]
)
def test_device_that_is_not_there(device, words):
    """A misspelt device, or one that this machine or dtype has not, in the words of the command line."""
    with pytest.raises(InvalidInput, match=words):
        theirs.snapshot(job(), device)


def test_unknown_name_gets_a_suggestion():
    """A misspelling answered without what there is."""
    error = unknown("activation", "sigmoyd", ["tanh", "sigmoid"])
    assert isinstance(error, InvalidInput)
    assert str(error) == "there is no activation 'sigmoyd'. Did you mean 'sigmoid'? There are: sigmoid, tanh"
    assert "Did you mean" not in str(unknown("activation", "qqqq", ["tanh", "sigmoid"]))


def test_columns_picks_examples():
    """A batch that picks rows, or mixes x and y."""
    data = Batch(np.arange(8.0).reshape(2, 4), np.arange(4))
    one = data.columns(np.array([3, 1]))
    assert np.array_equal(one.x, [[3, 1], [7, 5]]) and np.array_equal(one.y, [3, 1])
    stack = data.columns(np.array([[3, 1], [0, 0], [2, 1]]))
    assert (
        stack.x.shape == (3, 2, 2)
        and np.array_equal(stack.x[0], one.x)
        and np.array_equal(stack.x[2], [[2, 1], [6, 5]])
    )
    assert np.array_equal(stack.y, [[3, 1], [0, 0], [2, 1]])
    numbers = replace(data, y=np.arange(12.0).reshape(3, 4)).columns(np.array([[3, 1], [0, 0]]))
    assert np.array_equal(numbers.y, [[[3, 1], [7, 5], [11, 9]], [[0, 0], [4, 4], [8, 8]]])
    nested = data.columns(np.array([[[3, 1]], [[0, 2]]]))
    assert (
        nested.x.shape == (2, 1, 2, 2)
        and np.array_equal(nested.x[0, 0], one.x)
        and np.array_equal(nested.y, [[[3, 1]], [[0, 2]]])
    )


def test_activations_are_found_by_name():
    """A new activation must be there without being listed anywhere."""
    assert {"identity", "sigmoid", "tanh", "relu", "leakyrelu"} <= set(helpers.ACTIVATIONS)
    assert all(kind.__name__.lower() == name for name, kind in helpers.ACTIVATIONS.items())
    assert set(scratch.__all__) <= set(vars(scratch))
