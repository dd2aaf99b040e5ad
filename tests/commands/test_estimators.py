"""The estimators keep scikit-learn's contract, and go the way of its own multi-layer perceptrons where the algorithm is the same."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import scratch as s
from experiments.estimators import NetworkClassifier, NetworkRegressor

PAIRS = {NetworkClassifier: MLPClassifier, NetworkRegressor: MLPRegressor}
BACKENDS = ("scratch", "torch")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def data(classes, examples=47, features=5):
    """Classes, or numbers (examples, -classes) where negative."""
    if classes < 0:
        return make_regression(examples, features, n_targets=-classes, noise=3.0, random_state=0)
    return make_classification(
        examples, features, n_informative=4, n_redundant=0, n_classes=classes, class_sep=0.5, random_state=1
    )


@parametrize_with_checks([kind(backend=backend) for kind in PAIRS for backend in BACKENDS])
def test_scikit_learns_own_checks(estimator, check):
    """Any breach of the contract that other parts of scikit-learn rely on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


WAYS = {
    "plain descent": {"solver": "sgd", "momentum": 0.0},
    "momentum": {"solver": "sgd", "momentum": 0.8, "nesterovs_momentum": False, "activation": "tanh"},
    "Nesterov": {"solver": "sgd", "momentum": 0.7, "activation": "logistic", "alpha": 0.3},
    "Adam": {"solver": "adam", "epsilon": 1e-30, "alpha": 0.2, "beta_1": 0.8, "beta_2": 0.95},
    "in order": {"solver": "sgd", "shuffle": False, "hidden_layer_sizes": 4, "activation": "identity"},
}
CLASSES = {"two classes": 2, "three classes": 3, "a number": -1, "two numbers": -2}


def both(classes, labels=("no", "yes", "perhaps"), **options):
    """The estimator's two backends, and scikit-learn's own, having seen the same."""
    x, y = data(classes)
    kind = NetworkRegressor if classes < 0 else NetworkClassifier
    y = y / 50 if classes < 0 else np.array(labels)[y]
    options = {
        "hidden_layer_sizes": (6, 3),
        "learning_rate_init": 0.02,
        "batch_size": 10,
        "max_iter": 8,
        "random_state": 3,
    } | options
    ours = [kind(backend=backend, **options).fit(x, y) for backend in BACKENDS]
    return x, y, *ours, PAIRS[kind](**options).fit(x, y)


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("way", WAYS)
def test_trajectories_equal_scikit_learns(way, classes):
    """Another start, order of batches, rate, penalty in the short last batch, momentum, or objective of several outputs."""
    x, _, ours, torch, theirs = both(classes, **WAYS[way])
    for found in (ours, torch):
        # 40 updates of sums of tens of terms: rounding of 1e-16 grows by less than a thousand, Adam's √v of tiny v by more
        for a, b in zip(found.coefs_ + found.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
        if classes != -2:  # of several outputs scikit-learn reports the mean and follows the sum
            np.testing.assert_allclose(found.loss_curve_, theirs.loss_curve_, rtol=1e-9)
        np.testing.assert_allclose(
            found.predict_proba(x) if classes > 0 else found.predict(x),
            theirs.predict_proba(x) if classes > 0 else theirs.predict(x), rtol=1e-8, atol=1e-10,
        )  # fmt: skip
        assert (found.n_iter_, found.t_) == (theirs.n_iter_, theirs.t_)


@pytest.mark.parametrize("classes", (2, 3, -1))
def test_early_stopping_equals_scikit_learns(classes):
    """Another held-out part, another epoch to stop at, the last weights in place of the best."""
    *_, ours, torch, theirs = both(
        classes, (3, 1, 2), solver="sgd", early_stopping=True, max_iter=60, n_iter_no_change=3, validation_fraction=0.3
    )
    assert theirs.n_iter_ < 60
    for found in (ours, torch):
        assert found.n_iter_ == theirs.n_iter_
        np.testing.assert_allclose(found.validation_scores_, theirs.validation_scores_, rtol=1e-8)
        np.testing.assert_allclose(found.coefs_[0], theirs.coefs_[0], rtol=1e-9, atol=1e-11)


def test_it_stops_where_scikit_learn_stops():
    """A tolerance on another loss, or counted otherwise."""
    *_, ours, torch, theirs = both(3, solver="sgd", max_iter=300, tol=3e-3, n_iter_no_change=2)
    assert ours.n_iter_ == torch.n_iter_ == theirs.n_iter_ < 300
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("again", ("warm_start", "partial_fit"))
def test_training_goes_on_as_scikit_learns(backend, again):
    """A start from anew; an optimizer that has forgotten, or should have."""
    x, y = data(3)
    made = []
    for kind in (NetworkClassifier, MLPClassifier):
        options = {"backend": backend} if kind is NetworkClassifier else {}
        net = kind(
            8, solver="sgd", warm_start=again == "warm_start", max_iter=3, random_state=0, batch_size=9, **options
        )
        for _ in range(3):
            net.partial_fit(x, y, classes=[0, 1, 2]) if again == "partial_fit" else net.fit(x, y)
        made.append(net)
    ours, theirs = made
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)


OURS = {
    "an init scheme": {"init": "he"},
    "batch norm and dropout": {"batch_norm": True, "dropout": 0.3, "batch_size": 23},
    "layers": {"layers": (s.Residual((s.Dense(5), s.Tanh())), s.Dense(4, bias=False), s.LayerNorm(), s.GELU())},
    "schedule": {"schedule": s.Cosine(40), "solver": s.RMSProp(0.01), "activation": s.LeakyReLU(0.1)},
    "float32": {"activation": "silu"},
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("classes", (3, -2))
def test_backends_agree(name, classes):
    """An option that reaches one implementation alone; masks drawn twice."""
    x, y = data(classes, examples=46)
    x = x.astype("float32") if name == "float32" else x
    kind = NetworkRegressor if classes < 0 else NetworkClassifier
    options = {"hidden_layer_sizes": (7,), "max_iter": 5, "batch_size": 11, "random_state": 5} | OURS[name]
    a, b = (kind(backend=backend, **options).fit(x, y) for backend in BACKENDS)
    step = (
        2e-3 if name == "float32" else 1e-8
    )  # of rounding, 1e-16 or 6e-8, some tens of updates make a thousand times as much
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=step)
    np.testing.assert_allclose(a.predict(x), b.predict(x), rtol=step, atol=step)
    assert a.coefs_[0].dtype == b.coefs_[0].dtype == x.dtype
    other = kind(**options | {"random_state": 6}).fit(x, y)
    assert not np.allclose(a.loss_curve_, other.loss_curve_, rtol=step)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_works_within_scikit_learn(backend):
    """A parameter that cannot be searched, a fitted network that cannot be stored, a clone that shares."""
    x, y = data(3, examples=120)
    net = NetworkClassifier((8,), max_iter=20, learning_rate_init=0.02, random_state=0, backend=backend)
    search = GridSearchCV(make_pipeline(StandardScaler(), net), {"networkclassifier__alpha": [1e-4, 1.0]}, cv=2)
    best = search.fit(x, y).best_estimator_
    kept = pickle.loads(pickle.dumps(best))
    assert np.array_equal(kept.predict_proba(x), best.predict_proba(x))
    assert cross_val_score(net, x, y, cv=3).mean() > 0.4  # of three classes
    fresh = clone(best[-1])
    assert fresh.get_params() == best[-1].get_params() and not hasattr(fresh, "coefs_")
    kept[-1].partial_fit(x, y)  # its optimizer begins anew


WRONG = {
    "no such backend": ({"backend": "jax"}, "no backend 'jax'"),
    "no such scheme": ({"init": "heu"}, "Did you mean 'he'"),
    "no such activation": ({"activation": "rleu"}, "Did you mean 'relu'"),
    "no such solver": ({"solver": "lbfgs"}, "no solver 'lbfgs'"),
    "a batch of none": ({"batch_size": 0}, "batch_size=0"),
    "no epoch": ({"max_iter": 0}, "max_iter=0"),
    "no units": ({"hidden_layer_sizes": (3, 0)}, "Dense"),
    "half a unit": ({"hidden_layer_sizes": 2.5}, "Dense"),
    "a negative penalty": ({"alpha": -1}, "strength"),
    "a rate of none": ({"solver": "sgd", "learning_rate_init": -1}, "learning_rate"),
    "all dropped": ({"dropout": 1.5}, "Dropout"),
}


@pytest.mark.parametrize("options, message", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("kind", PAIRS)
def test_bad_parameters_are_named(kind, options, message):
    """A traceback out of NumPy, or silence."""
    x, y = data(2 if kind is NetworkClassifier else -1)
    with pytest.raises(ValueError, match=message):
        kind(**{"max_iter": 30} | options).fit(x, y)


def test_weights_that_are_lost_are_named():
    with pytest.raises(ValueError, match="not finite"):
        NetworkRegressor(solver="sgd", learning_rate_init=1e9, max_iter=30).fit(*data(-1))


def test_bad_labels_are_named():
    x, y = data(3)
    with pytest.raises(ValueError, match="1 class"):
        NetworkClassifier().fit(x, np.zeros(len(y)))
    with pytest.raises(ValueError, match=r"of \[0 1\]; got 3 class"):
        NetworkClassifier().partial_fit(x, y, classes=[0, 1])
    with pytest.raises(NotFittedError):
        NetworkRegressor().predict(x)


def test_an_unfinished_fit_says_so():
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        NetworkRegressor(max_iter=2).fit(*data(-1))
