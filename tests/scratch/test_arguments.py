"""Arguments of the wrong kind: every public function of fitting, metrics and files answers with one line, or rightly."""

from __future__ import annotations

import ast
import copy
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import torchref.saving
from scratch import (
    SGD,
    Batch,
    CrossEntropy,
    Dense,
    InvalidInput,
    Job,
    Network,
    ReLU,
    fitting,
    metrics,
    saving,
    training,
)
from scratch.initializers import he
from scratch.normalization import BatchNorm
from scratch.randomness import generator

ROOT = Path(__file__).resolve().parents[2]
M, CLASSES, FEATURES = 6, 3, 4
RANDOM = generator(0, "arguments")
Z, Y = RANDOM.standard_normal((CLASSES, M)), np.array([0, 1, 2, 1, 0, 2])
X = RANDOM.standard_normal((FEATURES, M))
NETWORK = Network((Dense(5), BatchNorm(), ReLU(), Dense(CLASSES)), FEATURES)
PARAMETERS = NETWORK.initialize(he, lambda k: generator(k, "weights"))
JOB = Job(NETWORK.layers, CrossEntropy(), PARAMETERS, Batch(X, Y), fitting.epochs(0, M, 3, 2), SGD(0.1))
MATRIX = metrics.confusion_matrix(Y, metrics.largest(Z), CLASSES)
STATE = torchref.saving.state_dict(NETWORK, PARAMETERS)
DEFAULTS = {  # every argument of every public function
    "accuracy": {"output": Z, "labels": Y, "ignore_index": None},
    "top_k": {"output": Z, "labels": Y, "k": 2, "ignore_index": None},
    "largest": {"output": Z},
    "confusion_matrix": {"labels": Y, "predicted": Y, "classes": CLASSES, "ignore_index": None},
    "scores": {"matrix": MATRIX, "average": None},
    "above": {"output": Z[:1], "threshold": 0.0},
    "binary_accuracy": {"output": Z[:1], "labels": Y % 2, "threshold": 0.0, "ignore_index": None},
    "binary_scores": {"output": Z[:1], "labels": Y % 2, "threshold": 0.0, "ignore_index": None},
    "split": {"generator": 0, "examples": M, "share": 0.5, "labels": Y},
    "epochs": {"generator": 0, "examples": M, "size": 2, "count": 2, "shuffle": True, "drop_last": False},
    "fit": {"job": JOB, "validation": JOB.data, "metrics": {"accuracy": metrics.accuracy}, "monitor": "train_accuracy",
            "mode": "max", "patience": 2, "min_delta": 0.0, "restore": True, "train": training.train, "progress": iter},
    "predict": {"network": NETWORK, "parameters": PARAMETERS, "buffers": NETWORK.buffers(), "x": X},
    "save": {"path": "n.npz", "network": NETWORK, "parameters": PARAMETERS, "buffers": NETWORK.buffers()},
    "load": {"path": "n.npz", "network": NETWORK, "names": None},
    "describe": {"network": NETWORK},
    "state_dict": {"network": NETWORK, "parameters": PARAMETERS, "buffers": NETWORK.buffers(), "prefix": "layers.",
                   "member": None},
    "from_state_dict": {"network": NETWORK, "state": STATE, "names": None},
}  # fmt: skip


class Odd:
    """An object that is nothing in particular."""


VALUES = {
    "None": None, "word": "x", "empty word": "", "word of two lines": "a\nb", "fraction": 5.0, "half": 0.5, "True": True, "False": False,
    "nan": np.nan, "inf": np.inf, "minus": -1, "zero": 0, "huge": 10**5000, "NumPy's nan": np.float64("nan"), "NumPy's 2": np.int64(2),
    "complex": 1 + 2j, "object": Odd(), "class": Odd, "function": len, "bytes": b"x", "set": {1, 2}, "dict": {"a": 1}, "empty": [],
    "tuple": (), "list": [1, 2], "ragged": [[1], [1, 2]], "words": ["a", "b"], "deep": [[[1.0]]], "nothing": [None], "range": range(6),
    "array": np.zeros((2, 2)), "scalar array": np.array(1.0), "complex array": np.zeros((3, 6), complex), "object array":
    np.full((3, 6), None), "truths": np.ones((3, 6), bool), "times": np.zeros(6, "M8[s]"), "masked": np.ma.masked_array(Z, Z > 0),
    "matrix": Z.view(np.matrix), "tensor": torch.ones(3, 6), "needing a gradient": torch.ones(3, 6, requires_grad=True),
    "of tensors": [torch.ones(3, requires_grad=True)], "generator": (k for k in range(3)), "layers": NETWORK.layers,
    "dicts": ({}, {}, {}, {}), "listed arrays": [{"W": [[1.0]]}, {}, {}, {}], "network": NETWORK,
}  # fmt: skip
FUNCTIONS = {
    name: function
    for module in (metrics, fitting, saving, torchref.saving)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
}
RIGHT = {  # what is no wrong value for an argument, though it is unlike the default
    "ignore_index": {"None", "minus", "NumPy's 2", "zero"},
    "average": {"None"}, "k": {"NumPy's 2"}, "classes": {"NumPy's 2"},
    "threshold": {"fraction", "half", "inf", "minus", "zero", "NumPy's 2"},
    "generator": {"NumPy's 2", "zero", "huge"}, "size": {"NumPy's 2"}, "count": {"NumPy's 2"}, "examples": {"NumPy's 2"},
    "share": {"half"}, "shuffle": {"True", "False"}, "drop_last": {"True", "False"}, "restore": {"True", "False"},
    "patience": {"None", "NumPy's 2"}, "min_delta": {"fraction", "half", "zero", "NumPy's 2"},
    "validation": {"None"}, "monitor": {"None"}, "mode": {"None"}, "buffers": {"None"},
    "prefix": {"word", "empty word", "word of two lines"},
    "member": {"None", "tuple"},
    "names": {"None"}, "labels": {"None"}, "network": {"network"}, "metrics": {"None"}, "progress": set(),
    "matrix": {"array", "deep"}, "output": {"deep"}, "largest output": {"array"}, "load network": {"None"},
}  # fmt: skip


def test_every_argument_is_in_the_table():
    """A new function, or a new argument, would not be walked."""
    assert {name: set(inspect.signature(f).parameters) for name, f in FUNCTIONS.items()} == {
        name: set(given) for name, given in DEFAULTS.items()
    }


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_are_right(name, tmp_path, monkeypatch):
    """The walk below would prove nothing if every call were refused anyway."""
    monkeypatch.chdir(tmp_path)
    saving.save(**DEFAULTS["save"])
    FUNCTIONS[name](**DEFAULTS[name])


@pytest.mark.parametrize("name, argument", [(name, argument) for name, given in DEFAULTS.items() for argument in given])
def test_a_value_of_the_wrong_kind_is_refused_in_one_line(name, argument, tmp_path, monkeypatch):
    """A traceback from the depths, or a number computed from what was never meant."""
    monkeypatch.chdir(tmp_path)
    saving.save(**DEFAULTS["save"])
    for what, value in VALUES.items():
        if argument in ("train", "progress") and what in ("function", "class"):
            continue  # what a user's own function does is its own matter
        value = (k for k in range(3)) if what == "generator" else value
        try:
            FUNCTIONS[name](**DEFAULTS[name] | {argument: value})
        except InvalidInput as error:
            words = str(error)
            known = rf"\b({name}|{argument}|layer|n\.npz|column to monitor|format|state_dict)\b"
            assert "\n" not in words and " at 0x" not in words and len(words) < 300, (what, words)
            assert re.search(known, words), (what, words)
        else:
            assert what in RIGHT.get(argument, set()) | RIGHT.get(f"{name} {argument}", set()), (what, "was taken")


def as_lists(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


LISTED = [(name, argument) for name, given in DEFAULTS.items() for argument, value in given.items()
          if isinstance(value, np.ndarray)]  # fmt: skip


@pytest.mark.parametrize("name, argument", LISTED)
def test_lists_that_mean_an_array_are_taken(name, argument):
    """The same numbers, as lists, give the same numbers."""

    def plain(found):
        found = list(vars(found).values()) if isinstance(found, metrics.Scores) else found
        return (
            [np.asarray(a).tolist() for a in found] if isinstance(found, list | tuple) else np.asarray(found).tolist()
        )

    given = DEFAULTS[name]
    expected = plain(FUNCTIONS[name](**given))
    assert plain(FUNCTIONS[name](**given | {argument: given[argument].tolist()})) == expected
    assert plain(FUNCTIONS[name](**given | {argument: tuple(map(as_lists, given[argument]))})) == expected


def test_seeds_and_generators():
    """0 is a seed as any other; a generator goes on where it is, a seed begins anew."""
    for function, given in ((fitting.epochs, (20, 6, 2)), (fitting.split, (20, 0.5))):
        found = [function(seed, *given) for seed in (0, 0, np.int64(0), np.random.default_rng(0), 1)]
        same = [all(map(np.array_equal, found[0], other)) for other in found]
        assert same == [True, True, True, True, False]
        random = np.random.default_rng(0)
        first, second = function(random, *given), function(random, *given)
        assert all(map(np.array_equal, first, found[0])) and not all(map(np.array_equal, second, first))
    assert not np.array_equal(fitting.epochs(0, 20, 20, 1)[0], np.arange(20))  # it was taken for no shuffling
    assert np.array_equal(fitting.epochs(0, 20, 20, 1, shuffle=False)[0], np.arange(20))
    drawn = NETWORK.initialize(he, np.random.default_rng), NETWORK.initialize(he, lambda layer: layer)
    assert all(np.array_equal(p[name], q[name]) for p, q in zip(*drawn, strict=True) for name in p)
    with pytest.raises(InvalidInput, match=r"initialize\(generator=0.5\): must be a numpy.random.Generator, or a seed"):
        NETWORK.initialize(he, lambda layer: 0.5)


def test_predict_takes_whole_numbers():
    """Lists of whole numbers under a batch norm, which divides in place."""
    network = Network((BatchNorm(), Dense(2)), 2)
    parameters = network.initialize(he, lambda k: generator(k, "w"))
    whole = [[1, 2, 3], [4, 5, 6]]
    expected = fitting.predict(network, parameters, None, np.array(whole, float))
    assert np.array_equal(fitting.predict(network, parameters, None, whole), expected)
    stack = tuple({name: np.stack([a] * 3) for name, a in named.items()} for named in parameters)
    with pytest.raises(InvalidInput, match=r"x is stacked as \(2,\), the networks as \(3,\)"):
        fitting.predict(network, stack, None, np.ones((2, 2, 5)))


MONITORED = {  # what the name of a column says
    "validation_loss": "min", "train_loss": "min", "train_my_loss": "min", "train_error": "min", "train_accuracy": "max",
    "train_top_1_accuracy": "max", "validation_f1": "max", "train_macro_recall": "max", "train_precision": "max",
    "train_score": None, "train_error_rate": None, "train_lossless": None, "train_terror": None, "train_bias": None,
}  # fmt: skip


@pytest.mark.parametrize("monitor", MONITORED)
@pytest.mark.parametrize("mode", [None, "min", "max"])
def test_whether_a_column_is_to_fall_or_to_rise(monitor, mode):
    """An error that is maximised: the epoch with the most of it would be the best. What is not known must be said."""
    falls, measure = [3.0, 2.0, 1.0], monitor.partition("_")[2]
    values = {"accuracy": iter([])} if measure == "loss" else {measure: iter(np.repeat(falls, 2))}
    called = {name: lambda z, y, it=it: next(it) for name, it in values.items()} if measure != "loss" else {}
    job = Job(NETWORK.layers, CrossEntropy(), PARAMETERS, Batch(X, Y), fitting.epochs(0, M, 6, 3), SGD(1e-3))

    def run():
        return fitting.fit(job, job.data, metrics=called, monitor=monitor, mode=mode)

    if mode is None and MONITORED[monitor] is None:
        with pytest.raises(InvalidInput, match=rf"mode=None.*whether '{monitor}' is to fall or to rise"):
            run()
        return
    fitted = run()
    column = fitted.history[monitor]
    assert (np.diff(column) < 0).all()
    assert fitted.best == (3 if (mode or MONITORED[monitor]) == "min" else 1)


@pytest.mark.parametrize("leading", [(), (2,)], ids=str)
def test_a_network_that_blows_up_is_never_best(leading):
    """Its outputs are NaN and were counted as class 0: with many labels 0 that was the best accuracy of all, and restored."""
    labels = np.array([0, 0, 0, 0, 0, 1])
    weights = tuple({n: np.broadcast_to(a, leading + a.shape).copy() for n, a in p.items()} for p in PARAMETERS)
    for named in weights:
        for a in named.values():
            a[...] = -abs(a)  # of class 1 and 2 more than of class 0
    weights[-1]["b"][..., :, 0] = [-5, 5, 0]
    job = Job(NETWORK.layers, CrossEntropy(), weights, Batch(X, labels), fitting.epochs(0, M, 6, 6), SGD(1e200))
    with np.errstate(all="ignore"):
        fitted = fitting.fit(
            job, job.data, metrics={"accuracy": metrics.accuracy}, monitor="validation_accuracy", patience=3
        )
    seen = fitted.history["validation_accuracy"]
    assert np.isnan(seen[-1]).all() and not (fitted.best == len(seen)).any()
    assert all(np.isfinite(a).all() for named in fitted.parameters for a in named.values())


BACKENDS = {
    "nothing": (lambda job: iter(()), iter, "gave no snapshot"),
    "None": (lambda job: None, iter, "progress"),
    "other things": (lambda job: [1, 2], iter, "must give snapshots, got a int among them"),
    "progress of None": (training.train, lambda shots: None, "must give snapshots, got NoneType"),
    "progress of words": (training.train, lambda shots: ["a"], "must give snapshots, got a str"),
}


@pytest.mark.parametrize("case", [name for name in BACKENDS if name != "None"])
def test_what_train_and_progress_give_is_looked_at(case):
    train, progress, message = BACKENDS[case]
    with pytest.raises(InvalidInput, match=message):
        fitting.fit(JOB, train=train, progress=progress)


GIVEN = {
    "a word": (lambda z, y: "x", r"metrics\['m'\]: expected numbers \(\), one a network, got str"),
    "scores": (lambda z, y: metrics.scores(MATRIX), "got Scores"),
    "None": (lambda z, y: None, "got NoneType"),
    "one for each class": (lambda z, y: np.ones(3), r"fit\(monitor='train_m'\): must be one number for each network"),
}


@pytest.mark.parametrize("case", GIVEN)
def test_what_a_metric_gives_is_looked_at(case):
    metric, message = GIVEN[case]
    with pytest.raises(InvalidInput, match=message):
        fitting.fit(JOB, metrics={"m": metric}, monitor="train_m", mode="max")


def test_a_metric_may_give_one_number_for_each_class():
    """Only what is monitored must be one number."""
    recall = {"recall": lambda z, y: metrics.scores(metrics.confusion_matrix(y, metrics.largest(z), CLASSES)).recall}
    assert fitting.fit(JOB, metrics=recall).history["train_recall"].shape == (2, CLASSES)


# if x where x is None is meant


def optional_names(tree):
    """Names that an annotation allows to be None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None and "None" in ast.unparse(node.annotation):
            yield node.arg
        elif isinstance(node, ast.AnnAssign) and "None" in ast.unparse(node.annotation):
            yield ast.unparse(node.target).rpartition(".")[2]


def truths(tree):
    """Every expression whose truth is asked for."""
    asked = []
    for node in ast.walk(tree):
        if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert):
            asked.append(node.test)
        elif isinstance(node, ast.BoolOp):
            asked += node.values[:-1]
        elif isinstance(node, ast.comprehension):
            asked += node.ifs
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            asked.append(node.operand)
    return asked


def careless(text, names):
    return [ast.unparse(node) for node in truths(ast.parse(text)) if isinstance(node, ast.Name | ast.Attribute)
            and ast.unparse(node).rpartition(".")[2] in names]  # fmt: skip


FILES = [path for package in ("scratch", "torchref", "experiments") for path in sorted((ROOT / package).rglob("*.py"))]
OPTIONAL = {"schedule", "penalty", "clip", "constraint", "noise", "buffers", "batches"}  # a job's, in other files too
LISTS = {"experiments/run.py": {"arguments"}}  # no longer None where its length is asked for


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_may_be_none_is_asked_for_none(path):
    """Seed 0, an empty tuple of buffers, or a patience of 0 is not the same as none given."""
    text = path.read_text(encoding="utf-8")
    names = {*optional_names(ast.parse(text)), *OPTIONAL} - LISTS.get(str(path.relative_to(ROOT)), set())
    assert not careless(text, names)


@pytest.mark.parametrize(
    "line", ["x or 3", "3 if x else 4", "3 if not a.x else 4", "[k for k in y if x]", "x and y and x.z"]
)
def test_the_search_finds_careless_questions(line):
    text = f"def f(x: int | None, y: list):\n    return {line}\n"
    assert careless(text, set(optional_names(ast.parse(text))))
    assert not careless("def f(x: int | None, y: list):\n    return y or x is None\n", {"x"})


def test_the_walk_changes_nothing():
    """A function that wrote to what it was handed."""
    before = copy.deepcopy(
        {k: v for k, v in DEFAULTS.items() if k in ("accuracy", "scores", "confusion_matrix", "split")}
    )
    for name, given in before.items():
        FUNCTIONS[name](**DEFAULTS[name])
        for argument, value in given.items():
            assert np.array_equal(DEFAULTS[name][argument], value), (name, argument)
