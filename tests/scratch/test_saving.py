"""Files and PyTorch's state_dict: bit for bit there and back, read by others, and refused where something is wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
import zipfile
from dataclasses import dataclass
from pathlib import Path

import helpers
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from torch import nn

import torchref.network
from scratch import CrossEntropy, Dense, Identity, InvalidInput, LeakyReLU, Network, ReLU, Tanh, matching
from scratch.files import check_npz
from scratch.fitting import predict
from scratch.layers import Dropout, Layer, Residual
from scratch.normalization import BatchNorm, LayerNorm
from scratch.randomness import generator
from scratch.saving import describe, load, save
from torchref import conventions
from torchref.saving import from_state_dict, state_dict

SUFFIXES = (".safetensors", ".npz")
FEATURES = 5
INSIDE = (Dense(7, bias=False), BatchNorm(affine=False), Residual((Tanh(), Dense(7), LayerNorm())), Dropout(0.25))
NESTED = (Dense(7), BatchNorm(0.5, None), Residual(INSIDE), LeakyReLU(0.1), LayerNorm(1e-3, False), Dense(3))
SPECIAL = {
    Dense: Dense(4, bias=False),
    Residual: Residual((BatchNorm(affine=False), Residual((Dense(5), Tanh())))),
    Dropout: Dropout(0.1 + 0.2, active=False),
}
KINDS = {kind.__name__: kind for kind in helpers.leaves(Layer)}


def held(network, leading=(), dtype="float64", seed=0):
    """Parameters and buffers that are nowhere 0 or 1, and numbers of batches that differ among the members."""
    random = generator(seed, "held")
    theta = random.uniform(0.5, 2, (*leading, network.size)).astype(dtype)
    buffers = network.buffers(leading, dtype)
    for named in buffers:
        for name, array in named.items():
            counts = name.rpartition(".")[2] == "num_batches_tracked"
            array[...] = random.integers(1, 2000, array.shape) if counts else random.uniform(0.5, 2, array.shape)
    return network.views(theta), buffers


def assert_same(one, other):
    assert len(one) == len(other)
    for p, q in zip(one, other, strict=True):
        assert list(p) == list(q)
        for name in p:
            assert p[name].dtype == q[name].dtype and p[name].shape == q[name].shape, name
            assert p[name].tobytes() == q[name].tobytes(), name


def round_trip(path, network, parameters, buffers):
    save(path, network, parameters, buffers)
    got, *arrays = load(path)
    assert got == network
    assert [type(layer) for layer in got.layers] == [type(layer) for layer in network.layers]
    assert_same(arrays[0], parameters)
    assert_same(arrays[1], buffers)
    for part in arrays:
        assert all(a.flags.writeable and a.flags.owndata | (a.base is not None) for p in part for a in p.values())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_comes_back(tmp_path, kind, suffix):
    """A new layer is saved without a line of code for it, if its fields are numbers, words, or layers."""
    layer = SPECIAL.get(KINDS[kind]) or KINDS[kind]()
    network = Network((Identity(), layer), FEATURES)
    round_trip(tmp_path / f"net{suffix}", network, *held(network, (2,)))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_nested_and_stacked(tmp_path, suffix, leading, dtype):
    network = Network(NESTED, FEATURES)
    round_trip(tmp_path / f"net{suffix}", network, *held(network, leading, dtype))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_numbers_survive(tmp_path, suffix):
    """NaN, −0, subnormals and infinities bit for bit; arrays in any memory order; NumPy's numbers in a layer's fields."""
    network = Network((LeakyReLU(np.float64(0.1)), Dense(np.int64(3))), 2)
    parameters, buffers = held(network)
    parameters[1]["W"][...] = [[np.nan, -0.0], [5e-324, np.inf], [-np.inf, 1 / 3]]
    parameters[1]["W"] = np.asfortranarray(parameters[1]["W"])
    save(tmp_path / f"n{suffix}", network, parameters, buffers)
    got = load(tmp_path / f"n{suffix}")
    assert got[0] == network
    assert_same(got[1], parameters)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_fresh_buffers_unless_given(tmp_path, suffix):
    network = Network(NESTED, FEATURES)
    parameters, _ = held(network, (2,), "float32")
    save(tmp_path / f"n{suffix}", network, parameters)
    assert_same(load(tmp_path / f"n{suffix}")[2], network.buffers((2,), "float32"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_bytes_every_time(tmp_path, suffix):
    network = Network(NESTED, FEATURES)
    for name in "ab":
        save(tmp_path / f"{name}{suffix}", network, *held(network))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def expected_tensors(network, parameters, buffers):
    """What PyTorch's side makes of them, for a single network."""
    return {name: t.numpy() for name, t in state_dict(network, parameters, buffers).items()}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_real_safetensors_reads_our_file(tmp_path, dtype):
    """The names, shapes, types and bytes that torch's own state has; the twin takes it as it is, nothing missing or left."""
    network = Network(NESTED, FEATURES)
    parameters, buffers = held(network, (), dtype)
    save(tmp_path / "n.safetensors", network, parameters, buffers)
    theirs = safetensors.numpy.load_file(tmp_path / "n.safetensors")
    expected = expected_tensors(network, parameters, buffers)
    assert theirs.keys() == expected.keys()
    for name, array in expected.items():
        assert theirs[name].dtype == array.dtype and theirs[name].shape == array.shape
        assert theirs[name].tobytes() == array.tobytes(), name
    twin = torchref.network.Network(network)
    twin.load_state_dict(safetensors.torch.load_file(tmp_path / "n.safetensors"), strict=True)
    with safetensors.safe_open(tmp_path / "n.safetensors", "numpy") as file:
        assert file.metadata() == {"network": describe(network)}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_arrays_in_the_file_are_aligned(tmp_path, dtype):
    """Readers map the file into memory: an array must begin at a multiple of its numbers' size, int64 among float16 too."""
    network = Network((Dense(3), BatchNorm()), FEATURES)
    save(tmp_path / "n.safetensors", network, *held(network, (), dtype))
    raw = (tmp_path / "n.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    header = json.loads(raw[8 : 8 + length])
    sizes = {"I64": 8, "F32": 4, "F16": 2}
    assert {e["dtype"] for n, e in header.items() if n != "__metadata__"} == {"I64", dtype.replace("float", "F")}
    for name, entry in header.items():
        assert name == "__metadata__" or entry["data_offsets"][0] % sizes[entry["dtype"]] == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_we_read_what_the_real_safetensors_wrote(tmp_path, dtype):
    """The state of a twin, in safetensors' own order of arrays; without a description the network has to be handed over."""
    network = Network(NESTED, FEATURES)
    parameters, buffers = held(network, (), str(dtype).removeprefix("torch."))
    state = state_dict(network, parameters, buffers)
    twin = torchref.network.Network(network).to(dtype)
    twin.load_state_dict(state)
    safetensors.torch.save_file(twin.state_dict(), tmp_path / "t.safetensors")
    with pytest.raises(InvalidInput, match="holds no description"):
        load(tmp_path / "t.safetensors")
    got, ours, remembered = load(tmp_path / "t.safetensors", network)
    assert got is network
    assert_same(ours, parameters)
    assert_same(remembered, buffers)
    safetensors.torch.save_file(state, tmp_path / "m.safetensors", {"network": describe(network)})
    assert load(tmp_path / "m.safetensors")[0] == network


def test_plain_numpy_opens_the_npz(tmp_path):
    """Whoever has NumPy alone can use a file: the same names as in PyTorch, and a text."""
    network = Network(NESTED, FEATURES)
    parameters, buffers = held(network)
    save(tmp_path / "n.npz", network, parameters, buffers)
    expected = expected_tensors(network, parameters, buffers)
    with np.load(tmp_path / "n.npz", allow_pickle=False) as file:
        assert set(file.files) == {*expected, "network"}
        assert json.loads(str(file["network"]))["inputs"] == FEATURES
        for name, array in expected.items():
            assert file[name].dtype == array.dtype and np.array_equal(file[name], array)


def test_names_are_those_of_conventions():
    """scratch may not import torchref, so the names stand in both: they must be the same."""
    assert {name: other for name, other in conventions.NAMES.items() if name != "mask"} == matching.NAMES


# what is wrong with a file is said, and nothing else happens

SMALL = Network((Dense(3), BatchNorm(), Residual((Dense(3), ReLU())), Dropout(0.5)), 2)


def raw_file(tmp_path, suffix=".safetensors"):
    save(tmp_path / f"good{suffix}", SMALL, *held(SMALL, (), "float32"))
    return (tmp_path / f"good{suffix}").read_bytes()


def opened(raw):
    length = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def closed(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def edited(change):
    """A damage to the header: ``change`` alters it in place."""

    def damage(raw):
        header, data = opened(raw)
        change(header)
        return closed(header, data)

    return damage


def described(change):
    """A damage to the description of the network."""

    def inside(header):
        text = json.loads(header["__metadata__"]["network"])
        change(text)
        header["__metadata__"]["network"] = json.dumps(text)

    return edited(inside)


def overlap(header):
    header["layers.0.bias"]["data_offsets"] = header["layers.1.bias"]["data_offsets"]


def bigger(header):
    header["layers.0.weight"]["shape"] = [300, 2]


def transposed(header):
    header["layers.0.weight"]["shape"] = [2, 3]


def rename(old, new):
    return lambda header: header.update({new: header.pop(old)})


def field(name, value, layer=0):
    return lambda text: text["layers"][layer].update({name: value})


def twice(raw):
    header, data = opened(raw)
    text = json.dumps(header).encode()
    entry = json.dumps({"layers.0.bias": header["layers.0.bias"]}).encode()
    return closed(text[:-1] + b"," + entry[1:], data)


DAMAGES = {
    "empty": (lambda raw: b"", "its header takes 0 bytes of 0"),
    "eight bytes": (lambda raw: raw[:8], "its header takes .* cut off"),
    "no header": (lambda raw: bytes(8) + raw[8:], "its header takes 0 bytes"),
    "header too long": (
        lambda raw: (2**63).to_bytes(8, "little") + raw[8:],
        "its header takes 9223372036854775808 bytes",
    ),
    "truncated": (lambda raw: raw[:-1], "ends at byte .* the file is cut off"),
    "longer": (lambda raw: raw + b"\0", "the last array ends at byte"),
    "no json": (lambda raw: raw[:9] + b"#" + raw[10:], "cannot be read as a network: JSONDecodeError"),
    "no utf-8": (lambda raw: raw[:9] + b"\xff" + raw[10:], "cannot be read as a network: UnicodeDecodeError"),
    "a list": (lambda raw: closed([], b""), "its header must be a JSON object"),
    "twice": (twice, "names something twice"),
    "overlap": (edited(overlap), "should begin at byte"),
    "hole": (lambda raw: closed(*((lambda h, d: (shifted(h), b"\0" * 8 + d))(*opened(raw)))), "should begin at byte 0"),
    "negative": (edited(lambda h: h["layers.0.bias"].update(shape=[-3])), "a shape or an offset is no count"),
    "fraction": (edited(lambda h: h["layers.0.bias"].update(shape=[1.5])), "a shape or an offset is no count"),
    "truth": (edited(lambda h: h["layers.0.bias"].update(shape=[True])), "a shape or an offset is no count"),
    "size": (edited(bigger), r"layers.0.weight: F32 \[300, 2\] takes 2400 bytes, but it is given 24"),
    "dtype": (
        edited(lambda h: h["layers.0.bias"].update(dtype="F8_E4M3")),
        "there is no type of layers.0.bias 'F8_E4M3'",
    ),
    "no dtype": (edited(lambda h: h["layers.0.bias"].pop("dtype")), "KeyError: 'dtype'"),
    "entry": (edited(lambda h: h.update({"layers.0.bias": 3})), "cannot be read as a network: TypeError"),
    "transposed": (edited(transposed), r"layers.0.weight must be \(…, 3, 2\), as layers.0.weight; got \(2, 3\)"),
    "missing": (
        edited(rename("layers.0.weight", "layers.0.weights")),
        r"'layers.0' should hold \['bias', 'weight'\], as layers.0; it holds \['bias', 'weights'\]",
    ),
    "integers": (
        edited(lambda h: h["layers.0.weight"].update(dtype="I64", shape=[3])),
        "must be floating point, got int64",
    ),
    "metadata": (edited(lambda h: h.update(__metadata__=[])), "cannot be read as a network: AttributeError"),
    "no network": (edited(lambda h: h.pop("__metadata__")), "holds no description of a network"),
    "layer": (described(field("kind", "Dence")), r"there is no layer 'Dence'. Did you mean 'Dense'\?"),
    "code": (described(field("kind", "os.system")), "there is no layer 'os.system'"),
    "no layer": (
        described(lambda t: t["layers"].append("Dense")),
        r"Network\(layers\[\d\]='Dense'\): must be of the kind Layer",
    ),
    "no kind": (described(lambda t: t["layers"].append({})), "there is no layer 'None'"),
    "base": (described(field("kind", "Activation")), "there is no layer 'Activation'"),
    "field": (described(field("unit", 3)), r"there is no field of Dense 'unit'. Did you mean 'units'\?"),
    "value": (described(field("units", "3")), r"Dense\(units='3'\): must be a whole number"),
    "bool": (described(field("bias", "no")), r"Dense\(bias='no'\)"),
    "float": (described(field("units", 3.0)), r"Dense\(units=3.0\)"),
    "nested": (described(field("layers", ["Dense"], 2)), r"Residual\(layers\[0\]='Dense'\): must be of the kind Layer"),
    "impossible": (described(field("rate", 1.5, 3)), r"Dropout\(rate=1.5\): must lie in \[0, 1\]"),
    "none": (described(lambda t: t["layers"].clear()), r"Network\(layers=\(\)\): must hold at least one layer"),
    "wide": (described(field("units", 10**15)), "1000000000000000 units into 3"),
    "inputs": (
        described(lambda t: t.update(inputs=3)),
        r"layers.0.weight must be \(…, 3, 3\), as layers.0.weight; got \(3, 2\)",
    ),
    "no inputs": (described(lambda t: t.update(inputs="2")), r"Network\(inputs='2'\): must be a whole number"),
    "keys": (described(lambda t: t.update(code="import os")), "must have inputs and layers"),
    "fewer": (
        described(lambda t: t["layers"].pop(2)),
        r"expected 2 modules with a state, .*; got 3: .*'layers.2.layers.0'",
    ),
    "residual": (described(field("layers", [], 2)), r"Residual\(layers=\(\)\): must hold at least one layer"),
    "deep": (
        edited(lambda h: h["__metadata__"].update(network="[" * 100_000)),
        "cannot be read as a network: RecursionError",
    ),
}


def shifted(header):
    for name, entry in header.items():
        if name != "__metadata__":
            entry["data_offsets"] = [n + 8 for n in entry["data_offsets"]]
    return header


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_safetensors_is_refused(tmp_path, damage):
    """One line that names the file and what was expected; the undamaged file, taken apart and put together, loads."""
    raw = raw_file(tmp_path)
    change, message = DAMAGES[damage]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(closed(*opened(raw)))
    assert_same(load(path)[1], held(SMALL, (), "float32")[0])
    path.write_bytes(change(raw))
    with pytest.raises(InvalidInput, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


class Bomb:
    """Unpickling it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_never_opened(tmp_path):
    bomb = np.array([Bomb(tmp_path / "exploded")], dtype=object)
    np.savez(tmp_path / "bad.npz", **{"layers.0.weight": bomb})
    with pytest.raises(InvalidInput, match="allow_pickle=False"):
        load(tmp_path / "bad.npz")
    np.save(tmp_path / "bad.npy", bomb)
    (tmp_path / "bad.npy").rename(tmp_path / "bad.npz")
    with pytest.raises(InvalidInput, match="it is no npz file"):
        load(tmp_path / "bad.npz")
    assert not (tmp_path / "exploded").exists()


def test_a_damaged_npz_is_refused(tmp_path):
    """Not a zip, an .npy, another type, nothing of a network in it."""
    path = tmp_path / "bad.npz"
    for arrays, message in (
        ({"a": np.zeros(3)}, "no description"),
        ({"a": np.zeros(3, "c16")}, "a must be numbers, got complex128"),
        ({"a": np.zeros(3, ">f8")}, "a must be numbers, got >f8"),
        ({"network": np.array(describe(SMALL))}, r"expected 3 modules with a state, .*; got 0: \(\)"),
        ({"network": np.zeros(3)}, "cannot be read as a network: JSONDecodeError"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InvalidInput, match=message):
            load(path)
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(path)
    with pytest.raises(InvalidInput, match="it is no npz file"):
        load(path)
    path.write_bytes(b"PK\3\4 and no more")
    with pytest.raises(InvalidInput, match="it is no npz file: File is not a zip file"):
        load(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_damage_raises_anything_else(tmp_path, suffix):
    """Cut at every 61st byte: always refused. A byte changed anywhere: refused, or a number that is another one; never a crash."""
    raw, path, random = raw_file(tmp_path, suffix), tmp_path / f"bad{suffix}", generator(0, "damage")
    for length in range(0, len(raw), 61):
        path.write_bytes(raw[:length])
        with pytest.raises(InvalidInput):
            load(path)
    refused = 0
    for place in random.integers(0, len(raw), 200):
        path.write_bytes(raw[:place] + random.bytes(1) + raw[place + 1 :])
        try:
            load(path)
        except InvalidInput as error:
            refused += 1
            assert str(error).startswith(str(path))
    assert refused > 60


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_bad_calls(tmp_path, suffix):
    network, path = Network(NESTED, FEATURES), tmp_path / f"n{suffix}"
    parameters, buffers = held(network)
    for call, message in (
        (lambda: load(path), "n.*: there is no such file"),
        (lambda: load(tmp_path / "n.pickle"), "there is no format of 'n.pickle', suffix '.pickle'"),
        (lambda: save(tmp_path / "n.safetensor", network, parameters), "Did you mean '.safetensors'"),
        (lambda: save(tmp_path / "no" / f"n{suffix}", network, parameters), "cannot be written: No such file"),
        (lambda: save(path, network, parameters[:2]), "parameters for 2 layers"),
        (lambda: save(path, network, parameters, network.buffers((2,))), "buffers are stacked as"),
        (lambda: save(path, network, parameters, network.buffers((), "float32")), r"got \['float32', 'float64'\]"),
        (lambda: save(path, network, network.views(np.zeros(network.size, complex))), "must be of one type"),
    ):
        with pytest.raises(InvalidInput, match=message):
            call()
    buffers[1]["num_batches_tracked"][...] = 2.5
    with pytest.raises(InvalidInput, match=r"layer 1: num_batches_tracked counts batches, but is \[2.5\]"):
        save(path, network, parameters, buffers)
    assert not list(tmp_path.iterdir())  # nothing half done is left


@dataclass(frozen=True)
class Mine(Tanh):
    """A layer of a user's own."""

    word: str = "a"
    numbers: tuple[float, ...] = (1.0,)


def test_a_users_own_layer(tmp_path):
    """It comes back where Python knows its class; one that bears the name of another layer is not saved."""
    network = Network((Mine("b", (0.5, 2)), Dense(2)), 3)
    round_trip(tmp_path / "n.safetensors", network, *held(network))

    @dataclass(frozen=True)
    class Tanh(LeakyReLU):
        """Not scratch's."""

    wrong = Network((Tanh(), Dense(2)), 3)
    with pytest.raises(InvalidInput, match="Tanh is no dataclass, or not the only layer"):
        save(tmp_path / "n.npz", wrong, *held(wrong))
    right = Network(NESTED, FEATURES)
    round_trip(tmp_path / "n.npz", right, *held(right))  # Tanh is in it, and still scratch's


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_that_fails_leaves_the_old_file(tmp_path, suffix, monkeypatch):
    """A full disk, or Ctrl-C in the middle: the old network is still there, and no half of the new one beside it."""
    path, network = tmp_path / f"n{suffix}", Network(NESTED, FEATURES)
    save(path, network, *held(network))
    before, write = path.read_bytes(), Path.write_bytes
    for error, raised in (
        (OSError(28, "No space left on device"), InvalidInput),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ):

        def half(self, data, error=error):
            write(self, data[: len(data) // 2])
            raise error

        monkeypatch.setattr(Path, "write_bytes", half)
        with pytest.raises(raised):
            save(path, network, *held(network, seed=1))
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_kill_leaves_a_whole_file(tmp_path):
    """A process that saves without pause is killed: what it leaves loads."""
    path = tmp_path / "n.safetensors"
    code = (
        "import sys; import numpy as np; from scratch import Dense, Network; from scratch.saving import save\n"
        "network = Network((Dense(1000),), 1000); p = network.views(np.ones(network.size)); k = 0\n"
        "while True: save(sys.argv[1], network, p); k += 1; p[0]['W'][...] = k; print(k, flush=True)"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, cwd=root)
    process.stdout.readline()
    for _ in range(3):
        time.sleep(0.01)
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    w = load(path)[1][0]["W"]
    assert (w == w[0, 0]).all()


# PyTorch's state_dict

LEARNER = (Dense(6), BatchNorm(), ReLU(), Dropout(0.3), Dense(3))


def moved(arrays, by, random):
    return tuple({n: (a * (1 + by * random.choice([-1, 1], a.shape))) for n, a in p.items()} for p in arrays)


def outputs_agree(network, parameters, buffers, module, x, dtype=np.float64):
    """In eval mode, within what moving input and parameters by √k·u does, measured on a larger move; k = 7 is the longest sum.

    The factor 4 stands for four standard deviations, as everywhere.
    """
    with torch.no_grad():
        theirs = module.eval()(conventions.rows(x, torch.device("cpu")))
    theirs = conventions.columns(theirs[-1] if isinstance(theirs, list) else theirs, ())
    ours = predict(network, parameters, buffers, x)
    assert ours.dtype == theirs.dtype == dtype
    random, given = generator(0, "moved"), (parameters, buffers, ({"x": x},))
    wide = [tuple({n: a.astype(float) for n, a in p.items()} for p in part) for part in given]
    nudged = [moved(part, 1e-8, random) for part in wide]
    exact, replica = (predict(network, p, b, inputs["x"]) for p, b, (inputs,) in (wide, nudged))
    spread = np.abs(replica - exact).max() / 1e-8
    unit = np.sqrt(7) * np.finfo(dtype).eps / 2
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=4 * unit * (spread + np.abs(ours).max()))


@pytest.mark.parametrize("leading, member", [((), None), ((3,), 2), ((2, 3), (1, -1))], ids=str)
def test_the_twin_takes_the_state_strictly_and_gives_it_back(leading, member):
    """Bit for bit there and back, one member of a stack, and the twin's output is scratch's."""
    network = Network(NESTED, FEATURES)
    parameters, buffers = held(network, leading)
    chosen = () if member is None else member if isinstance(member, tuple) else (member,)
    own = [tuple({n: a[chosen] for n, a in named.items()} for named in part) for part in (parameters, buffers)]
    for layers in (NESTED, network.inference.layers):
        twin = torchref.network.Network(Network(layers, FEATURES)).double()
        missing = twin.load_state_dict(state_dict(network, parameters, buffers, member=member), strict=True)
        assert not missing.missing_keys and not missing.unexpected_keys
        assert twin.state_dict().keys() == state_dict(network, parameters, buffers, member=member).keys()
        ours, remembered = from_state_dict(network, twin.state_dict())
        assert_same(ours, own[0])
        assert_same(remembered, own[1])
    outputs_agree(network, *own, twin, generator(0, "x").standard_normal((FEATURES, 4)))


def sequential(dtype=torch.float64):
    layers = nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3)
    return nn.Sequential(*layers).to(dtype)


def test_a_plain_sequential_takes_the_state():
    network = Network(LEARNER, 5)
    parameters, buffers = held(network)
    module = sequential()
    module.load_state_dict(state_dict(network, parameters, buffers, prefix=""), strict=True)
    assert_same(from_state_dict(network, module.state_dict())[0], parameters)
    outputs_agree(network, parameters, buffers, module, generator(0, "x").standard_normal((5, 4)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_torch_trained_works_in_scratch(dtype, tmp_path):
    """A plain loop of PyTorch, nothing of ours in it; then its weights here, through a file of PyTorch's ecosystem as well."""
    network, kind = Network(LEARNER, 5), np.float64 if dtype == torch.float64 else np.float32
    torch.manual_seed(0)  # of nn.Dropout
    random = generator(0, "train")
    x = random.standard_normal((5, 40)).astype(kind)
    labels = torch.tensor(random.integers(0, 3, 40))
    module = sequential(dtype)
    module.load_state_dict(state_dict(network, *held(network, (), kind), prefix=""))
    start = from_state_dict(network, module.state_dict())
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    rows = conventions.rows(x, torch.device("cpu"))
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(rows), labels).backward()
        optimizer.step()
    parameters, buffers = from_state_dict(network, module.state_dict())
    assert not np.array_equal(parameters[0]["W"], start[0][0]["W"])
    assert buffers[1]["num_batches_tracked"].dtype == kind
    outputs_agree(network, parameters, buffers, module, x, kind)
    save(tmp_path / "n.safetensors", network, parameters, buffers)
    read = load(tmp_path / "n.safetensors")
    before, after = (CrossEntropy()(predict(network, *p, x), labels.numpy())[0] for p in (start, read[1:]))
    assert after < before  # the weights are the trained ones


class Own(nn.Module):
    """A user's module with names of its own, one of them nested, and no numbers in them."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(5, 6)
        self.net = nn.ModuleDict({"bn": nn.BatchNorm1d(6), "last": nn.Linear(6, 3)})

    def forward(self, x):
        return self.net["last"](torch.relu(self.net["bn"](self.fc1(x))))


def test_a_users_own_module():
    """Modules are matched as they come; the copies do not change when PyTorch trains on."""
    torch.manual_seed(0)
    module = Own().double()
    network = Network((Dense(6), BatchNorm(), ReLU(), Dense(3)), 5)
    parameters, buffers = from_state_dict(network, module.state_dict())
    outputs_agree(network, parameters, buffers, module, generator(0, "x").standard_normal((5, 4)))
    before = parameters[0]["W"].copy(), buffers[1]["running_mean"].copy()
    with torch.no_grad():
        module.fc1.weight += 1
        module.net["bn"].running_mean += 1
    assert np.array_equal(parameters[0]["W"], before[0]) and np.array_equal(buffers[1]["running_mean"], before[1])
    state = state_dict(network, parameters, buffers)
    parameters[0]["W"] += 1
    assert np.array_equal(state["layers.0.weight"], before[0])


def test_more_than_ten_layers_keep_their_order():
    """As text, "layers.10" comes before "layers.2"."""
    network = Network(tuple(Dense(3) for _ in range(12)), 3)
    parameters, _ = held(network)
    assert_same(from_state_dict(network, state_dict(network, parameters))[0], parameters)


def test_batchnorm_without_parameters_inside_residual():
    """Its buffers come after all parameters of the block in scratch's order, and between them in PyTorch's."""
    network = Network((Residual((Dense(4), BatchNorm(affine=False), Dense(4), BatchNorm())),), 4)
    parameters, buffers = held(network)
    twin = torchref.network.Network(network).double()
    twin.load_state_dict(state_dict(network, parameters, buffers))
    ours, remembered = from_state_dict(network, twin.state_dict())
    assert_same(ours, parameters)
    assert_same(remembered, buffers)


def changed(**changes):
    state = sequential().state_dict()
    for key, tensor in changes.items():
        name = key.replace("_", ".", 1)
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    return state


WRONG = {
    "transposed": (
        changed(**{"0_weight": torch.ones(5, 6).double()}),
        r"0.weight must be \(6, 5\), as layers.0.weight; got \(5, 6\)",
    ),
    "column": (
        changed(**{"4_bias": torch.ones(3, 1).double()}),
        r"4.bias must be \(3,\), as layers.4.bias; got \(3, 1\)",
    ),
    "stack": (changed(**{"1_running_mean": torch.ones(2, 6).double()}), r"1.running_mean must be \(6,\)"),
    "bias": (changed(**{"4_bias": None}), r"'4' should hold \['bias', 'weight'\], as layers.4; it holds \['weight'\]"),
    "more": (changed(**{"5_weight": torch.ones(1).double()}), r"expected 3 modules .*'layers.4'\); got 4: .*'5'\)"),
    "fewer": (changed(**{"4_bias": None, "4_weight": None}), "expected 3 modules .* got 2"),
    "complex": (changed(**{"4_bias": torch.ones(3) * 1j}), "4.bias: expected an array .*, got complex64"),
    "meta": (
        changed(**{"4_bias": torch.ones(3, device="meta")}),
        "4.bias: expected a tensor of numbers in memory, got torch.float32 on meta",
    ),
    "sparse": (changed(**{"4_bias": torch.ones(3).to_sparse()}), "4.bias: expected a tensor of numbers in memory"),
    "count": (changed(**{"1_num_batches_tracked": torch.tensor(1.5)}), "1.num_batches_tracked must be whole numbers"),
    "negative": (changed(**{"1_num_batches_tracked": torch.tensor(-1)}), r"counts batches in float64, but is \[-1\]"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_state_that_does_not_fit_is_refused(wrong):
    """A transposed matrix has the right number of numbers: without a check of shapes it would be taken."""
    state, message = WRONG[wrong]
    with pytest.raises(InvalidInput, match=message):
        from_state_dict(Network(LEARNER, 5), state)


def test_a_stack_needs_a_member():
    network = Network(LEARNER, 5)
    for leading, member in (((3,), None), ((), 0), ((3,), 3), ((3,), -4), ((2, 3), 1), ((3,), (1, 1))):
        with pytest.raises(InvalidInput, match="must name one network of a stack"):
            state_dict(network, *held(network, leading), member=member)
    with pytest.raises(InvalidInput, match="parameters for 2 layers"):
        state_dict(network, held(network)[0][:2])


# files that nobody should open


def sized(path, size):
    """A file of so many bytes that takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(size)


def zipped(path, members):
    """An archive of compressed members: (name, the header's shape, how many bytes of zeros follow)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, shape, size in members:
            head = io.BytesIO()
            np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": shape})
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(head.getvalue())
                for start in range(0, size, 2**24):
                    file.write(bytes(min(2**24, size - start)))


def declared(path, **changes):
    """A safetensors file whose header declares one array; the data are a hole in the file."""
    entry = {"dtype": "F64", "shape": [2**37], "data_offsets": [0, 2**40]} | changes
    text = json.dumps({"a": entry}).encode()
    sized(path, 8 + len(text) + entry["data_offsets"][1])
    with path.open("r+b") as file:
        file.write(len(text).to_bytes(8, "little") + text)


HOSTILE = {
    "missing": (".npz", lambda path: None, "there is no such file"),
    "folder": (".npz", Path.mkdir, "expected a file, got a folder"),
    "pipe": (".safetensors", os.mkfifo, "expected a file, got a pipe or a device"),
    "device": (".npz", lambda path: path.symlink_to("/dev/zero"), "expected a file, got a pipe or a device"),
    "socket": (".npz", lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "expected a file, got a pipe or a device"),
    "circle": (".npz", lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links"),
    "dangling": (".npz", lambda path: path.symlink_to(path.with_name("gone")), "there is no such file"),
    "bomb": (".npz", lambda path: zipped(path, [("a.npy", (2**24,), 2**27)]), r"would inflate to 134\d+: expected at most"),
    "many": (".npz", lambda path: zipped(path, [(f"{k}.npy", (2**20,), 2**23) for k in range(10)]), "would inflate to 8388"),
    "header of more": (".npz", lambda path: zipped(path, [("a.npy", (2**40,), 8)]), r"a.npy: float64 \(1099511627776,\) takes 8796"),
    "header of less": (".npz", lambda path: zipped(path, [("a.npy", (1,), 2**20)]), "but the archive holds 1048"),
    "negative": (".npz", lambda path: zipped(path, [("a.npy", (-1,), 8)]), "a.npy.* takes"),
    "no array": (".npz", lambda path: zipfile.ZipFile(path, "w").writestr("a.txt", "x" * 99), "a.txt is no .npy array"),
    "hole": (".npz", lambda path: sized(path, 2**40), "it is no npz file"),
    "hole, safetensors": (".safetensors", lambda path: sized(path, 2**40), "its header takes 0 bytes of"),
    "long header": (
        ".safetensors",
        lambda path: (sized(path, 2**40), path.open("r+b").write((2**39).to_bytes(8, "little"))),
        "its header takes 549755813888 bytes: expected at most 100000000",
    ),
    "data that do not match": (".safetensors", lambda path: declared(path, shape=[2**36]), "takes 549755813888 bytes, but"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_at_once(case, tmp_path, monkeypatch):
    """A pipe that never ends, a device, a terabyte of nothing, kilobytes that inflate to gigabytes: one line, before reading."""
    suffix, make, message = HOSTILE[case]
    monkeypatch.chdir(tmp_path)
    path = Path(f"net{suffix}")
    make(path)
    started = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(InvalidInput, match=message) as caught:
        load(path, SMALL)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert time.perf_counter() - started < 1 and taken < 2**24


NAMES = {
    "long": "n" * 300 + ".npz",
    "zero byte": "n\0.npz",
    "no UTF-8": "n\udcff\ud800.npz",
    "in a file": "file/n.npz",
    "lines": "a\nb.npz",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_system_takes(name, tmp_path, monkeypatch):
    """To read or to write: one line."""
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(InvalidInput, match=r"cannot be read: |no such file") as caught:
        load(NAMES[name])
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    if name != "lines":
        with pytest.raises(InvalidInput, match="cannot be written: ") as caught:
            save(NAMES[name], SMALL, *held(SMALL))
        assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "n.npz"
    save(path, SMALL, *held(SMALL))
    path.chmod(0)
    with pytest.raises(InvalidInput, match="cannot be read: Permission denied"):
        load(path)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    """The same where root runs the tests: opening it fails."""
    path = tmp_path / "n.npz"
    save(path, SMALL, *held(SMALL))

    def denied(self, *args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(InvalidInput, match=r"n.npz: cannot be read: Permission denied"):
        load(path)


def test_the_longest_name_is_written(tmp_path):
    """The temporary file's name may not be longer than the system takes where the network's own is not."""
    path = tmp_path / ("n" * 251 + ".npz")
    save(path, SMALL, *held(SMALL))
    assert load(path)[0] == SMALL and list(tmp_path.iterdir()) == [path]


def test_compressed_files_are_read(tmp_path):
    """The guard against bombs must let through what other programs write; and a large network of zeros."""
    wide = Network((Dense(1000),), 1000)
    for network, arrays in ((SMALL, held(SMALL)), (wide, (wide.views(np.zeros(wide.size)), ({},)))):
        save(tmp_path / "n.npz", network, *arrays)
        with np.load(tmp_path / "n.npz") as file:
            np.savez_compressed(tmp_path / "c.npz", **file)
        found = load(tmp_path / "c.npz")
        assert found[0] == network
        assert_same(found[1], arrays[0])
    assert (tmp_path / "c.npz").stat().st_size < 2**24 // 1000


def test_files_limit_is_the_callers():
    """A limit in bytes, of a file or of what was read of it already."""
    data = io.BytesIO()
    np.savez(data, a=np.zeros(100))
    check_npz(data.getvalue())
    check_npz(data.getvalue(), 1000)
    with pytest.raises(InvalidInput, match="would inflate to 928: expected at most 927"):
        check_npz(data.getvalue(), 927)


@pytest.mark.parametrize("layers", ['{"kind": "BatchNorm", "affine": false}', '{"kind": "BatchNorm"}'])
def test_a_width_that_is_only_written_takes_no_memory(layers, tmp_path):
    """Running statistics are made for every unit: 80 gigabytes for a width that stands in a description of a few bytes."""
    text = np.array(f'{{"inputs": 10000000000, "layers": [{layers}]}}')
    np.savez(tmp_path / "n.npz", network=text)
    with pytest.raises(InvalidInput, match="a layer of 10000000000 units, and no array has as many numbers"):
        load(tmp_path / "n.npz")
    residual = ('{"kind": "Residual", "layers": [{"kind": "Dense", "units": 10000000000, "bias": true}, '
                f'{layers}, {{"kind": "Dense", "units": 3, "bias": true}}]}}')  # fmt: skip
    empty = {"layers.0.layers.0.weight": np.zeros((0, 10**10, 3))}
    np.savez(tmp_path / "n.npz", network=np.array(f'{{"inputs": 3, "layers": [{residual}]}}'), **empty)
    with pytest.raises(InvalidInput, match="a layer of 10000000000 units"):
        load(tmp_path / "n.npz")


@dataclass(frozen=True)
class Holding(Tanh):
    """A layer of a user's own with a field that no file holds."""

    thing: object = None


def test_a_field_that_no_file_holds(tmp_path):
    for thing in (np.zeros(3), object(), {1, 2}, 1j):
        network = Network((Holding(thing), Dense(2)), 3)
        with pytest.raises(InvalidInput, match="save: a layer's field must be numbers, words, truth values or layers"):
            save(tmp_path / "n.npz", network, network.views(np.zeros(network.size)))
