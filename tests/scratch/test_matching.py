"""Whose array is whose: states in any order, under any names, from any file; what is not certain is refused."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import torchref.network
from scratch import BatchNorm, Dense, InvalidInput, LayerNorm, Network, ReLU, Residual
from scratch.fitting import predict
from scratch.randomness import generator
from scratch.saving import load, save
from torchref.saving import from_state_dict, state_dict

FEATURES = 3
X = generator(0, "x").standard_normal((FEATURES, 4))


def equal(count):
    """So many layers of equal shapes: only their order tells them apart."""
    return Network((Dense(FEATURES),) * count, FEATURES)


def state_of(network, names, order=None):
    """A state whose modules, in the network's order, have these ``names``; its keys come in another ``order``."""
    random = generator(0, "state")
    held = {}
    for name, shapes in zip(names, network.shapes, strict=True):
        rows, columns = shapes["W"]
        held |= {
            f"{name}.weight": random.standard_normal((rows, columns)),
            f"{name}.bias": random.standard_normal(rows),
        }
    keys = sorted(held) if order is None else [list(held)[k] for k in order]
    return {key: torch.tensor(held[key]) for key in keys}


def in_turn(state, names, x=X):
    """The outputs of the modules of these names one after the other, by PyTorch."""
    a = torch.tensor(x.T)
    for name in names:
        a = nn.functional.linear(a, state[f"{name}.weight"], state[f"{name}.bias"])
    return a.numpy().T


def assert_runs_as(network, found, state, names):
    np.testing.assert_allclose(predict(network, *found, X), in_turn(state, names), rtol=1e-12, atol=1e-12)


DECIDING = {  # in the order in which they run: sorted as text they come in another
    "sequential": [str(k) for k in range(12)],
    "gaps": ["0", "3", "10"],
    "attributes": ["fc1", "fc2", "fc10"],
    "list": [f"layers.{k}" for k in (0, 2, 4, 10, 11)],
    "parallel": [f"module.net.{k}" for k in (8, 9, 10)],
    "compiled": ["_orig_mod.fc9", "_orig_mod.fc10"],
    "compiled inside": ["fc9._orig_mod", "fc10"],
    "nested": ["layer1.9.fc2", "layer1.10.fc1", "layer1.10.fc2", "layer2.0.fc1", "layer10.0.fc1"],
    "two numbers": ["block1_fc2", "block1_fc10", "block2_fc1"],
    "zeros": ["fc08", "fc9", "fc010"],
    "large": ["fc9", "fc" + "1" * 5000],
    "alone": ["net.head"],
}


@pytest.mark.parametrize("case", DECIDING)
def test_numbers_in_names_are_the_order(case):
    """The order of the keys, text's order ("10" before "2"), or the order of declaration would be trusted."""
    names = DECIDING[case]
    network = equal(len(names))
    for seed in range(5):
        order = None if seed == 0 else generator(seed, "order").permutation(2 * len(names))
        state = state_of(network, names, order)
        assert_runs_as(network, from_state_dict(network, state), state, names)


def test_twelve_layers_through_a_file(tmp_path):
    """Safetensors gives names back sorted as text: outputs would be off by about 1, from a file as well as from a state."""
    torch.manual_seed(0)
    module = nn.Sequential(*(nn.Linear(FEATURES, FEATURES) for _ in range(12))).double()
    safetensors.torch.save_file(module.state_dict(), tmp_path / "t.safetensors")
    expected = module(torch.tensor(X.T)).detach().numpy().T
    network = equal(12)
    read = safetensors.torch.load_file(tmp_path / "t.safetensors")
    wrong = {f"layers.{k}.{kind}": read[f"{name}.{kind}"] for k, name in enumerate(sorted(map(str, range(12))))
             for kind in ("weight", "bias")}  # fmt: skip
    assert np.abs(predict(network, *from_state_dict(network, wrong), X) - expected).max() > 0.1  # the test can see it
    for found in (from_state_dict(network, read), load(tmp_path / "t.safetensors", network)[1:]):
        np.testing.assert_allclose(predict(network, *found, X), expected, rtol=1e-12, atol=1e-12)
    np.savez(tmp_path / "t.npz", **{key: tensor.numpy() for key, tensor in read.items()})
    np.testing.assert_allclose(
        predict(network, *load(tmp_path / "t.npz", network)[1:], X), expected, rtol=1e-12, atol=1e-12
    )


UNDECIDED = {
    "words": ["encoder", "decoder"],
    "in and out": ["fc_in", "fc_out"],
    "a number and none": ["fc1", "last"],
    "two lists": ["convs.0", "convs.1", "heads.0"],  # they may run in turn
    "blocks": ["layer1.0.first", "layer1.0.second", "layer2.0.first"],
    "equal numbers": ["fc1", "fc01"],
    "a container": ["net", "net.0"],
}


@pytest.mark.parametrize("case", UNDECIDED)
def test_what_names_do_not_decide_is_refused(case):
    """A guess is a network that computes something else; with ``names`` every order is taken as it is said."""
    names = UNDECIDED[case]
    network = equal(len(names))
    state = state_of(network, names)
    with pytest.raises(
        InvalidInput, match=r"do not say whether '.*' or '.*' comes first, .* such as names=\('"
    ) as caught:
        from_state_dict(network, state)
    proposed = eval(str(caught.value).rpartition("names=")[2])
    for order in (proposed, *itertools.permutations(names)):
        assert_runs_as(network, from_state_dict(network, state, names=order), state, order)


class Declared(nn.Module):
    """Declared in another order than it runs, with equal shapes."""

    def __init__(self):
        super().__init__()
        self.after = nn.Linear(FEATURES, FEATURES)
        self.before = nn.Linear(FEATURES, FEATURES)

    def forward(self, x):
        return self.after(self.before(x))


def test_a_module_declared_in_another_order_than_it_runs():
    torch.manual_seed(0)
    module, network = Declared().double(), equal(2)
    with pytest.raises(InvalidInput, match="whether 'after' or 'before' comes first"):
        from_state_dict(network, module)
    found = from_state_dict(network, module, names=("before", "after"))
    np.testing.assert_allclose(predict(network, *found, X), module(torch.tensor(X.T)).detach().numpy().T, rtol=1e-12)


def test_shapes_decide_where_one_order_fits():
    """A last layer declared first; and lists of which only one order fits to the end."""
    network = Network((Dense(6), ReLU(), Dense(2)), FEATURES)
    state = {f"{name}.{kind}": torch.ones(shape) for name, shapes in
             {"a_last": ((2, 6), (2,)), "b_first": ((6, 3), (6,))}.items()
             for kind, shape in zip(("weight", "bias"), shapes, strict=True)}  # fmt: skip
    assert from_state_dict(network, state)[0][2]["W"].shape == (2, 6)
    widths = (4, 3, 4, 5)
    network = Network(tuple(Dense(width) for width in widths), FEATURES)
    names = ["z.0", "z.1", "a.0", "a.1"]  # a.0 first would fit, but then nothing does
    state = {f"{name}.{kind}": torch.full(shape, float(k)) for k, (name, n_in, n_out) in
             enumerate(zip(names, (3, 4, 3, 4), widths, strict=True)) for kind, shape in
             (("weight", (n_out, n_in)), ("bias", (n_out,)))}  # fmt: skip
    found, _ = from_state_dict(network, dict(sorted(state.items())))
    assert [p["W"][0, 0] for p in found] == [0, 1, 2, 3]


def by_enumeration(names, kinds, wanted):
    """All orders that the numbers allow and that fit, written out: each pair is compared at the first part that differs."""

    def stem(part):
        return "".join(c for c in part if not c.isdigit())

    def number(part):
        return int("".join(c for c in part if c.isdigit()) or -1)

    def allowed(order):
        for one, other in itertools.combinations(order, 2):
            a, b = next((a, b) for a, b in zip(one.split("."), other.split("."), strict=True) if a != b)
            if stem(a) == stem(b) and number(a) > number(b):
                return False
        return True

    orders = itertools.permutations(names)
    return [order for order in orders if [kinds[name] for name in order] == wanted and allowed(order)]


def test_an_order_is_taken_where_there_is_exactly_one():
    """A search that finds the first order alone, or misses one: against all permutations of small states."""
    outcomes = []
    for seed in range(300):
        random = generator(seed, "names")
        every = [f"{a}{i}.{b}{j}" for a in "ab" for i in (1, 2) for b in "cd" for j in (9, 10)]
        names = [every[k] for k in random.choice(len(every), random.integers(2, 6), replace=False)]
        layers = [LayerNorm() if random.random() < 0.4 else Dense(FEATURES) for _ in names]
        wanted = [type(layer).__name__ for layer in layers]
        kinds = dict(zip(names, [wanted[k] for k in random.permutation(len(names))], strict=True))
        sizes = {"Dense": (FEATURES, FEATURES), "LayerNorm": (FEATURES,)}
        state = {f"{name}.{part}": torch.full(sizes[kind] if part == "weight" else (FEATURES,), float(k))
                 for k, (name, kind) in enumerate(kinds.items()) for part in ("weight", "bias")}  # fmt: skip
        orders = by_enumeration(names, kinds, wanted)
        outcomes.append(min(len(orders), 2))
        network = Network(tuple(layers), FEATURES)
        if len(orders) == 1:
            found, _ = from_state_dict(network, state)
            assert [next(iter(p.values())).flat[0] for p in found] == [names.index(name) for name in orders[0]]
        else:
            message = "do not say whether" if orders else "not in the order of their numbers"
            with pytest.raises(InvalidInput, match=message):
                from_state_dict(network, state)
    assert min(outcomes.count(n) for n in (0, 1, 2)) > 30


def test_a_search_without_end_ends():
    """Names that say nothing; and a last place for which no module is ever left, so that every order would be tried."""
    names = [f"a{chr(97 + k)}" for k in range(20)]
    network = Network((Dense(FEATURES),) * 20, FEATURES)
    started = time.perf_counter()
    with pytest.raises(InvalidInput, match="do not say whether"):
        from_state_dict(network, state_of(network, names))
    norms = [BatchNorm(), *[LayerNorm()] * 11]
    chains = Network(tuple(layer for norm in norms for layer in (Dense(FEATURES), norm)), FEATURES)
    own = state_dict(chains, chains.views(np.ones(chains.size)))
    letters = {f"layers.{2 * k + j}": f"{chr(97 + k)}.{j}" for k in range(12) for j in (0, 1)}
    state = {f"{letters[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": tensor for key, tensor in own.items()}
    layers = (*[Dense(FEATURES)] * 11, *[LayerNorm()] * 11, BatchNorm(), Dense(FEATURES))
    with pytest.raises(InvalidInput, match="the names do not decide the modules' order"):
        from_state_dict(Network(layers, FEATURES), state)
    assert time.perf_counter() - started < 5


def test_many_layers_take_no_time():
    network, started = equal(400), time.perf_counter()
    names = [f"net.{k}" for k in range(400)]
    state = state_of(network, names)
    found, _ = from_state_dict(network, state)
    assert np.array_equal(found[250]["W"], state["net.250.weight"].numpy())
    assert time.perf_counter() - started < 5


# batch norm, types, wrappings


def normed(dtype=torch.float64):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(FEATURES, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2)).double()
    for _ in range(3):
        module(torch.randn(8, FEATURES).double())
    return module.eval().to(dtype)


NORMED = Network((Dense(5), BatchNorm(), ReLU(), Dense(2)), FEATURES)


def assert_same_output(found, module=None, dtype=torch.float64):
    module = module or normed()
    expected = module.double()(torch.tensor(X.T)).detach().numpy().T
    p, b = (tuple({n: a.astype(float) for n, a in named.items()} for named in part) for part in found)
    np.testing.assert_allclose(predict(NORMED, p, b, X), expected, rtol=1e-12, atol=1e-12)


def test_the_order_of_keys_does_not_matter():
    """The counter of a batch norm first; a file in text's order; any other."""
    state = normed().state_dict()
    keys = list(state)
    orders = [sorted(keys, key="1.num_batches_tracked".__ne__), sorted(keys), keys[::-1]]
    orders += [[keys[k] for k in generator(seed, "keys").permutation(len(keys))] for seed in range(10)]
    for order in orders:
        found = from_state_dict(NORMED, {key: state[key] for key in order})
        assert_same_output(found)
        assert found[1][1]["num_batches_tracked"] == 3


@pytest.mark.parametrize("old", [True, False])
def test_running_statistics_without_a_count(old, tmp_path):
    """Files from before PyTorch 0.4.1: PyTorch reads them, with a count of 0."""
    state = {key: tensor for key, tensor in normed().state_dict().items() if not (old and key.endswith("tracked"))}
    safetensors.torch.save_file(state, tmp_path / "t.safetensors")
    for found in (from_state_dict(NORMED, state), load(tmp_path / "t.safetensors", NORMED)[1:]):
        assert_same_output(found)
        assert found[1][1]["num_batches_tracked"] == (0 if old else 3)


TYPES = {  # of 0.weight and of the rest: what all become
    (torch.bfloat16, torch.bfloat16): np.float32,
    (torch.float16, torch.bfloat16): np.float32,
    (torch.float16, torch.float32): np.float32,
    (torch.float64, torch.bfloat16): np.float64,
    (torch.float16, torch.float64): np.float64,
    (torch.float16, torch.float16): np.float16,
}


@pytest.mark.parametrize("types", TYPES, ids=str)
def test_types_are_widened_without_rounding(types, tmp_path):
    """bfloat16 has no NumPy type, and mixed types none in common: every number must stay the one that it was."""
    state = normed().state_dict()
    state = {key: t.to(types[key != "0.weight"]) if t.is_floating_point() else t for key, t in state.items()}
    safetensors.torch.save_file(state, tmp_path / "t.safetensors")
    for parameters, buffers in (from_state_dict(NORMED, state), load(tmp_path / "t.safetensors", NORMED)[1:]):
        assert {a.dtype for part in (parameters, buffers) for p in part for a in p.values()} == {np.dtype(TYPES[types])}
        assert np.array_equal(parameters[0]["W"], state["0.weight"].double().numpy())
        assert np.array_equal(parameters[3]["W"], state["3.weight"].double().numpy())
        assert np.array_equal(buffers[1]["running_var"][:, 0], state["1.running_var"].double().numpy())


def test_bfloat16_bit_for_bit(tmp_path):
    """All 65 536 of them, as PyTorch widens them: subnormals, infinities, −0; NaN stays NaN."""
    every = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    state = {"weight": every.reshape(65536, 1).clone(), "bias": every}
    network = Network((Dense(65536),), 1)
    safetensors.torch.save_file(state, tmp_path / "t.safetensors")
    for found in (from_state_dict(network, state)[0], load(tmp_path / "t.safetensors", network)[1]):
        expected = every.float().numpy()
        known = ~np.isnan(expected)
        assert np.array_equal(found[0]["b"][:, 0], expected, equal_nan=True)
        assert found[0]["b"][known, 0].tobytes() == expected[known].tobytes()


def test_a_count_that_the_type_has_not_is_refused():
    """100 000 batches in float16 would be infinitely many."""
    state = normed(torch.float16).state_dict()
    state["1.num_batches_tracked"] = torch.tensor(100_000)
    with pytest.raises(InvalidInput, match=r"counts batches in float16, but is \[100000\]"):
        from_state_dict(NORMED, state)


STATE = normed().state_dict()
OPTIMIZER = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
WRAPPED = {
    "state": lambda: STATE,
    "module": normed,
    "numpy": lambda: {key: tensor.numpy() for key, tensor in STATE.items()},
    "lists": lambda: {key: tensor.tolist() if tensor.ndim else tensor.numpy()[()] for key, tensor in STATE.items()},
    "parameters": lambda: dict(normed().named_parameters()) | dict(normed().named_buffers()),
    "checkpoint": lambda: {"epoch": 3, "loss": 0.5, "model_state_dict": STATE, "optimizer_state_dict": OPTIMIZER},
    "lightning": lambda: {"state_dict": {f"model.{k}": t for k, t in STATE.items()}, "hyper_parameters": {"lr": 0.1}},
    "pickled module": lambda: {"model": normed(), "epoch": 1},
    "parallel": lambda: {f"module.{key}": tensor for key, tensor in STATE.items()},
    "compiled": lambda: {f"_orig_mod.{key}": tensor for key, tensor in STATE.items()},
}


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_states_as_they_come(wrapped):
    assert_same_output(from_state_dict(NORMED, WRAPPED[wrapped]()))


def test_a_checkpoint_with_two_states_is_refused():
    """The averaged weights, or those of another network."""
    with pytest.raises(InvalidInput, match=r"there are states under \['ema', 'model'\]: hand one of them over"):
        from_state_dict(NORMED, {"model": STATE, "ema": STATE, "epoch": 3})


BAD = {
    "path": (lambda: from_state_dict(NORMED, "t.pt"), "expected names with tensors, or a module; got str"),
    "list": (lambda: from_state_dict(NORMED, list(STATE)), "or a module; got list"),
    "numbers as names": (lambda: from_state_dict(NORMED, {0: torch.ones(1)}), "expected names of arrays, .* the int 0"),
    "words": (lambda: from_state_dict(NORMED, STATE | {"0.bias": "x"}), "0.bias: expected an array .*, got str"),
    "strings": (lambda: from_state_dict(NORMED, STATE | {"0.bias": np.array(["x"] * 5)}), "0.bias: expected an array"),
    "ragged": (lambda: from_state_dict(NORMED, STATE | {"0.weight": [[1.0], [1.0, 2.0]]}), "a list that makes none"),
    "network": (lambda: from_state_dict(NORMED.layers, STATE), r"state_dict\(network=tuple\): must be of the kind Network"),
    "names of one": (lambda: from_state_dict(NORMED, STATE, names="013"), "names: expected the modules' names .* got str"),
    "names twice": (lambda: from_state_dict(NORMED, STATE, names=("0", "0", "3")), "each of .* must stand there once"),
    "too few names": (lambda: from_state_dict(NORMED, STATE, names=("0", "1")), "each of .* must stand there once"),
    "misspelt": (lambda: from_state_dict(equal(2), state_of(equal(2), ["encoder", "decoder"]), names=("encoder", "decodr")),
                 "there is no module 'decodr'. Did you mean 'decoder'"),
    "wrong order": (lambda: from_state_dict(NORMED, STATE, names=("1", "0", "3")), r"'1' should hold \['bias', 'weight'\]"),
    "against the numbers": (
        lambda: from_state_dict(NORMED, {f"{9 - int(key[0])}{key[1:]}": tensor for key, tensor in STATE.items()}),
        r"not in the order of their numbers: give them .* names=\(…\), from \('6', '8', '9'\)",
    ),
    "two kinds": (lambda: state_dict(NORMED, *_of_types("f4", "f8")), r"of one type, .* got \['float32', 'float64'\]"),
    "integers": (lambda: state_dict(NORMED, *_of_types("i8", "i8")), r"of one type, .* got \['int64'\]"),
    "no buffers": (lambda: state_dict(NORMED, _of_types("f8", "f8")[0], ()), "buffers for 0 layers"),
    "prefix": (lambda: state_dict(NORMED, *_of_types("f8", "f8"), prefix=0), r"state_dict\(prefix=0\): must be of the kind str"),
    "member": (lambda: state_dict(NORMED, *_of_types("f8", "f8"), member=True), r"state_dict\(member=True\): must name"),
}  # fmt: skip


def _of_types(first, second):
    parameters = NORMED.views(np.ones(NORMED.size, first))
    return parameters, NORMED.buffers((), second)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, message = BAD[case]
    with pytest.raises(InvalidInput, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_no_buffers_are_not_fresh_ones(tmp_path):
    """An empty tuple is the wrong number of buffers, not none given."""
    parameters, _ = _of_types("f8", "f8")
    for call in (lambda: save(tmp_path / "n.npz", NORMED, parameters, ()), lambda: predict(NORMED, parameters, (), X)):
        with pytest.raises(InvalidInput, match="buffers for 0 layers"):
            call()


def test_a_twin_with_blocks_in_text_order():
    """Layers inside residual layers, more than ten of either."""
    network = Network((*(Residual((Dense(FEATURES),) * 11) for _ in range(11)),), FEATURES)
    twin = torchref.network.Network(network).double()
    state = twin.state_dict()
    for names in (sorted(state), [key.replace("layers.", "b.") for key in sorted(state)]):
        given = dict(zip(names, (state[key] for key in sorted(state)), strict=True))
        found, _ = from_state_dict(network, given)
        back = state_dict(network, found)
        assert all(torch.equal(back[key], state[key]) for key in state)
