"""Networks as scikit-learn's estimators, with either implementation inside: rows in, rows out.

Parameters that MLPClassifier has too mean what they mean there, and one ``random_state`` draws the same weights, held-out part and
batches: trajectories are equal. But Adam's ``epsilon`` stands beside the corrected √v, as in PyTorch, and ``loss_`` of several outputs
is half the sum of their squared errors, whose gradient is followed. Ours are: ``backend``, "scratch" or "torch"; ``init``, a scheme's
name; ``layers``, in place of all hidden ones; ``dropout``, the share of units dropped; ``batch_norm``; ``schedule``, which counts updates.
``activation`` and ``solver`` may be any of scratch's descriptions.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, gen_batches, shuffle
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

import scratch as s
from experiments.compare.stepping import BACKENDS
from scratch import activations, arguments, initializers, randomness
from scratch.errors import known


class Estimator(BaseEstimator):
    """What both have in common. X (m, features), coefs_[k] (n_in, n_out), intercepts_[k] (n_out,)."""

    def __init__(
        self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=1e-4, batch_size="auto",
        learning_rate_init=1e-3, max_iter=200, shuffle=True, random_state=None, tol=1e-4, warm_start=False,
        momentum=0.9, nesterovs_momentum=True, early_stopping=False, validation_fraction=0.1, beta_1=0.9, beta_2=0.999,
        epsilon=1e-8, n_iter_no_change=10, backend="scratch", init=None, layers=None, dropout=0.0, batch_norm=False,
        schedule=None,
    ) -> None:  # fmt: skip
        self.__dict__.update({name: value for name, value in locals().items() if name != "self"})

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_training"}

    def fit(self, X, y):
        """Trains until loss or validation score stand still, or for ``max_iter`` epochs. Raises InvalidInput, a ValueError."""
        return self._fit(X, y, self.warm_start and hasattr(self, "coefs_"))

    def partial_fit(self, X, y):
        """One epoch more; the optimizer goes on from what it remembers, unless the estimator was pickled in between."""
        return self._fit(X, y, hasattr(self, "coefs_"), single=True)

    def _fit(self, X, y, going_on, single=False):
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=not going_on, **self._checks)
        data = s.Batch(np.ascontiguousarray(X.T), self._encoded(y, going_on, X.dtype))
        random, held = check_random_state(self.random_state), None
        if not going_on:
            self._begin(data, random)
        if self.early_stopping and not single:
            split = partial(
                train_test_split, np.arange(len(X)), test_size=self.validation_fraction, random_state=random
            )
            kept, out = split(stratify=data.y[0] if isinstance(self._loss, s.BinaryCrossEntropy) else None)
            data, held = data.columns(kept), (data.x[:, out], y[out])
        if not (single and hasattr(self, "_training")):
            self._training = known("backend", self.backend, BACKENDS)(self._planned(data, random))
        self._epochs(data, held, random, single)
        if not all(np.isfinite(array).all() for array in self.coefs_ + self.intercepts_):
            raise s.InvalidInput("fit: weights are not finite any more: scale X, or lower learning_rate_init")
        return self

    def _begin(self, data, random):
        """The network at its start: drawn as MLPClassifier draws, W (n_in, n_out) and then b, or by ``init``."""
        self._loss, outputs = self._losses[data.y.ndim](), len(data.y) if data.y.ndim > 1 else len(self.classes_)
        hidden = self._hidden() if self.layers is None else self.layers
        network = s.Network((*hidden, s.Dense(outputs)), data.x.shape[0])
        scheme, bound = known("init", self.init or "zeros", initializers.by_name()), 0.0
        seed = random.randint(2**31) if self.init else 0  # what is not asked for must not move the stream
        parameters = network.initialize(scheme, partial(randomness.generator, seed, "weights"))
        for name, a in (item for p in parameters if self.init is None for item in p.items()):
            bound = np.sqrt((2 if self.activation == "logistic" else 6) / sum(a.shape)) if name.endswith("W") else bound
            a[:] = random.uniform(-bound, bound, a.shape[::-1]).T if name[-1] in "Wb" else a
        parameters = tuple({name: a.astype(data.x.dtype) for name, a in p.items()} for p in parameters)
        self._keep(network, parameters, network.buffers((), data.x.dtype))
        self._weight = (
            outputs / 2 if isinstance(self._loss, s.SquaredError) else 1.0
        )  # of it in MLPClassifier's objective
        self.n_outputs_, self.t_, self.loss_curve_, self.validation_scores_ = outputs, 0, [], []
        self.best_loss_, self.best_validation_score_, self._waited = np.inf, -np.inf, 0

    def _hidden(self):
        made, names = self.activation, activations.by_name() | {"logistic": s.Sigmoid}
        made = made if isinstance(made, s.Layer) else known("activation", made, names)()
        between = [s.BatchNorm()] * bool(self.batch_norm) + [made] + [s.Dropout(self.dropout)] * bool(self.dropout)
        return [layer for size in np.ravel(self.hidden_layer_sizes).tolist() for layer in (s.Dense(size), *between)]

    def _planned(self, data, random):
        rate, nesterov = self.learning_rate_init, bool(self.nesterovs_momentum and self.momentum > 0)
        made = {"sgd": partial(s.SGD, rate * self._weight, self.momentum, nesterov=nesterov),
                "adam": partial(s.Adam, rate, (self.beta_1, self.beta_2), self.epsilon / self._weight)}  # fmt: skip
        optimizer = known("solver", self.solver, made)() if isinstance(self.solver, str) else self.solver
        (network, parameters, buffers), self._taken = self._kept, dict[int, Any]()
        noise = randomness.noise(network, random.randint(2**31), self._taken) if any(network.noise) else None
        more = {"buffers": buffers, "optimizer": optimizer, "schedule": self.schedule, "noise": noise}
        return s.Job(network.layers, self._loss, parameters, data, **more)

    def _epochs(self, data, held, random, single):
        examples, limit = data.x.shape[1], 1 if single else arguments.whole("fit", "max_iter", self.max_iter, 1)
        size = 200 if self.batch_size == "auto" else arguments.whole("fit", "batch_size", self.batch_size, 1)
        best, order, self.n_iter_ = None, np.arange(examples), 0
        while self.n_iter_ < limit and (self.n_iter_ == 0 or self._waited <= self.n_iter_no_change):
            order = shuffle(order, random_state=random) if self.shuffle else order
            total = sum(self._step(data, order[part]) for part in gen_batches(examples, min(size, examples)))
            self.n_iter_, self.t_, self.loss_ = self.n_iter_ + 1, self.t_ + examples, self._weight * total / examples
            self.loss_curve_.append(self.loss_)
            best = self._improved(held) or best
        self._keep(self._kept[0], *(best or self._training.reached()))
        if self.n_iter_ == limit and not single:
            warnings.warn(f"still learning after max_iter={limit} epochs", ConvergenceWarning, stacklevel=4)

    def _step(self, data, columns):
        """One update; the sum of the batch's losses. As in MLPClassifier the penalty weighs more in a smaller batch."""
        self._taken.clear()
        self._taken[self._training.number] = columns
        return self._training.step(data.columns(columns), s.L2(self.alpha / len(columns) / self._weight)) * len(columns)

    def _improved(self, held):
        """The weights, where they are the best for the held-out part; counts the epochs that have brought less than ``tol``."""
        if held is None:
            self._waited = self._waited + 1 if self.loss_ > self.best_loss_ - self.tol else 0
            self.best_loss_ = min(self.best_loss_, self.loss_)
            return None
        parameters, buffers = self._training.reached()
        z = BACKENDS[self.backend].output(self._kept[0], parameters, buffers, held[0])
        score = self._metric(held[1], self._answers(z)) if np.isfinite(z).all() else -np.inf
        self.validation_scores_.append(score)
        self._waited = self._waited + 1 if score < self.best_validation_score_ + self.tol else 0
        best, self.best_validation_score_ = self.best_validation_score_, max(score, self.best_validation_score_)
        return (parameters, buffers) if score > best else None

    def _keep(self, network, parameters, buffers):
        self._kept = network, parameters, buffers
        self.coefs_ = [p["W"].T for p in parameters if "W" in p]
        self.intercepts_ = [p["b"][:, 0] for p in parameters if "b" in p]

    def _output(self, X):
        check_is_fitted(self, "coefs_")
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return BACKENDS[self.backend].output(*self._kept, np.ascontiguousarray(X.T, self.coefs_[0].dtype))

    def predict(self, X):
        return self._answers(self._output(X))


class NetworkClassifier(ClassifierMixin, Estimator):
    """Cross-entropy of logits: of one output for two classes, of one each for more."""

    _metric, _checks = staticmethod(accuracy_score), dict[str, bool]()
    _losses = (None, s.CrossEntropy, s.BinaryCrossEntropy)  # by the axes of y

    def partial_fit(self, X, y, classes=None):
        """One epoch more; the first call needs all ``classes``, unless y has them all."""
        if classes is not None:
            self._declared = np.unique(classes)
        return super().partial_fit(X, y)

    def _encoded(self, y, going_on, dtype):
        check_classification_targets(y)
        seen = np.unique(y)
        if not going_on:
            self.classes_ = self.__dict__.pop("_declared", seen)
        if len(self.classes_) < 2 or not np.isin(seen, self.classes_).all():
            raise s.InvalidInput(f"fit: y needs two classes or more, of {self.classes_}; got {len(seen)} class: {seen}")
        codes = np.searchsorted(self.classes_, y)
        return codes if len(self.classes_) > 2 else codes[None].astype(dtype)

    def _answers(self, z):
        return self.classes_[z.argmax(0) if len(z) > 1 else (z[0] > 0).astype(int)]

    def predict_proba(self, X):
        """(m, classes), each row's sum 1."""
        z = self._output(X)
        return (s.Softmax().forward({}, z) if len(z) > 1 else s.Sigmoid().forward({}, np.vstack([-z, z])))[0].T

    def predict_log_proba(self, X):
        return np.log(self.predict_proba(X))


class NetworkRegressor(MultiOutputMixin, RegressorMixin, Estimator):
    """Half the squared error, summed over outputs; y (m,) or (m, outputs)."""

    _metric, _checks = staticmethod(r2_score), {"multi_output": True, "y_numeric": True}
    _losses = (None, None, s.SquaredError)

    def _encoded(self, y, going_on, dtype):
        return np.ascontiguousarray(np.reshape(y, (len(y), -1)).T, dtype)

    def _answers(self, z):
        return z[0] if len(z) == 1 else z.T
