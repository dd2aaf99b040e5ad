"""torchref computes by itself, imports run one way, and each thing that must stand in one file only stands there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import helpers
import pytest
import torch

import scratch.autodiff
import scratch.special
import scratch.training
from scratch import Tanh
from scratch.network import merge
from torchref import training as theirs

ROOT = Path(__file__).resolve().parents[2]
DESCRIBES = {  # all that torchref may ask of scratch: what there is, in which shape, and whether it fits; no number is worked out
    *("width", "shapes", "buffers", "noise", "inference", "_inside", "with_inputs"),
    *("check_buffers", "check_examples", "start_buffers", "noise_at", "_kinds"),
    "_rates_hold",
}


class ScratchComputed(AssertionError):
    """Raised wherever scratch would compute."""


def functions():
    """(place, name) of every function of scratch that is not there to describe: of modules and of classes, ``__call__`` too."""
    modules = {name: m for name, m in sorted(sys.modules.items()) if name.startswith("scratch.")}
    for name in ("options", "checks"):  # types, ranges and shapes of what describes
        del modules[f"scratch.{name}"]
    modules.pop("scratch.randomness", None)  # what is drawn is handed to both
    for module in modules.values():
        classes = [k for k in vars(module).values() if isinstance(k, type) and k.__module__ == module.__name__]
        for place in (module, *classes):
            for name, value in vars(place).items():
                ours = isinstance(value, FunctionType) and value.__module__ in modules
                if ours and name not in DESCRIBES and (name == "__call__" or not name.startswith("__")):
                    yield place, name


@pytest.fixture
def silent_scratch(monkeypatch):
    """Calling it makes every computation of scratch raise."""

    def refuse(*args, **kwargs):
        raise ScratchComputed

    def silence():
        for place, name in list(functions()):
            monkeypatch.setattr(place, name, refuse)

    return silence


def assert_trains_alone(job, silence):
    look = helpers.at(job, next(iter(theirs.train(job))))
    expected = [*theirs.train(job), theirs.snapshot(look)]
    silence()
    for one, other in zip(expected, [*theirs.train(job), theirs.snapshot(look)], strict=True):
        helpers.assert_same(one, other)


@pytest.mark.parametrize("activation", helpers.ACTIVATIONS)
def test_activations_without_scratch(activation, silent_scratch):
    """A torch twin that borrows scratch's arithmetic would agree with it whatever it computes."""
    assert_trains_alone(helpers.job("labels", helpers.ACTIVATIONS[activation](), steps=3), silent_scratch)


@pytest.mark.parametrize("leading", [(), (3,)], ids=["alone", "stack"])
@pytest.mark.parametrize("kind", helpers.LOSSES)
def test_losses_without_scratch(kind, leading, silent_scratch):
    """The same for losses, of which some need more under vmap."""
    assert_trains_alone(helpers.job(kind, leading=leading, own_batches=bool(leading), steps=3), silent_scratch)


@pytest.mark.parametrize("name", helpers.PARTS)
def test_parts_without_scratch(name, silent_scratch):
    """The same for norms, dropout, residuals, update rules, schedules, penalties, clips and constraints, rates one for each member."""
    assert_trains_alone(helpers.with_own_rates(helpers.part(name, (3,), own=True)), silent_scratch)


@pytest.mark.parametrize("name", helpers.PARTS)
def test_silence_is_complete(name, silent_scratch):
    """The tests above would prove nothing if scratch could still compute; each part is tried on its own."""
    job = helpers.part(name)
    state, x = scratch.training.start(job), job.data.x
    silent_scratch()
    for call in (
        lambda: scratch.training.snapshot(job),
        lambda: list(scratch.training.train(job)),
        lambda: scratch.training.step(job, state, job.data),
        lambda: scratch.autodiff.gradient(x, []),
        lambda: scratch.special.erf(x),
        lambda: job.network.predict(merge(state.parameters, state.buffers), x),
        lambda: job.network.flatten(job.parameters),
        *(lambda layer=layer: layer.forward({}, x) for layer in job.layers),
        *(lambda layer=layer: layer.backward({}, None, x) for layer in job.layers),
        *(lambda layer=layer: layer.formula({}, x) for layer in job.layers),
        lambda: job.loss(x, job.data.y),
        lambda: job.loss.differentiate(x, job.data.y),
        lambda: job.loss.formula(x, job.data.y),
        lambda: job.optimizer.update(None, None, {}),
        lambda: job.optimizer.descend(None, None, {}),
        lambda: job.optimizer.start(state.theta),
        *([lambda: job.penalty(state.parameters), lambda: job.penalty.add_gradient((), ())] if job.penalty else []),
        *([lambda: job.schedule.rate(state.plan, 1, 0.0)] if job.schedule else []),
        *([lambda: job.clip(state.gradient)] if job.clip else []),
        *([lambda: job.constraint.project(state.parameters)] if job.constraint else []),
    ):
        with pytest.raises(ScratchComputed):
            call()


def test_what_describes_does_not_compute():
    """A name in DESCRIBES that a layer, loss, update rule, schedule, penalty or clip computes with."""
    computes = {
        "forward",
        "backward",
        "differentiate",
        "formula",
        "__call__",
        "update",
        "descend",
        "start",
        "rate",
        "project",
        "add_gradient",
    }
    guarded = {name for place, name in functions() if isinstance(place, type)}
    assert computes <= guarded and len(list(functions())) > 200


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported(path, typing_too=True):
    """Full names of all modules that a file imports, wherever in it; without ``typing_too`` not those under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = set()
    if not typing_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                skipped |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            neighbours = node.level == 1 and "catalog" in path.parts  # pages of one experiment
            assert node.level == 0 or neighbours, f"{path}: relative import in line {node.lineno}"
            near = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
            source = node.module if node.level == 0 else ".".join(filter(None, (near, node.module)))
            yield from (f"{source}.{alias.name}" for alias in node.names)


def roots(path):
    return {name.split(".")[0] for name in imported(path)}


def short(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules("scratch"), ids=short)
def test_scratch_imports_numpy_alone(path):
    """A convenience from another package would make scratch no longer from scratch."""
    assert roots(path) <= {"numpy", "scratch", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", modules("torchref"), ids=short)
def test_torchref_imports_no_experiments(path):
    """An import against the direction would let the comparison reach into what it compares."""
    assert roots(path) <= {"numpy", "torch", "scratch", "torchref", *sys.stdlib_module_names}


DESCRIPTIONS = {
    *("layers", "activations", "softmax", "normalization", "losses", "categorical", "penalties"),
    *("optimizers", "clipping", "schedules"),
    *("contract", "errors", "network"),
}
FILES = {"arguments", "matching"}  # whose array is whose: no number is worked out


@pytest.mark.parametrize("path", modules("torchref"), ids=short)
def test_torchref_takes_only_descriptions(path):
    """scratch.training or scratch.initializers in torchref: something would be computed there that torch should compute."""
    taken = {part for name in imported(path) if name.startswith("scratch.") for part in name.split(".")[1:2]}
    assert taken <= DESCRIPTIONS | (FILES if path.name == "saving.py" else set())


FIGURES = [ROOT / "experiments" / "lab" / "figures.py"]


@pytest.mark.parametrize("path", FIGURES, ids=short)
def test_figures_import_no_backend(path):
    """A figure that computes would no longer show what stands in the tables."""
    assert not {"scratch", "torchref", "torch"} & roots(path)


def test_there_are_files_to_check():
    """A renamed folder would leave all of these checks with nothing to look at."""
    assert len(modules("scratch")) > 8 and len(modules("torchref")) > 7 and len(modules("experiments")) > 10
    assert FIGURES[0].exists()


TRANSPOSITIONS = {
    "T",
    "mT",
    "H",
    "mH",
    "t",
    "swapaxes",
    "swapdims",
    "transpose",
    "permute",
    "moveaxis",
    "movedim",
    "adjoint",
    "rot90",
}


def transposing(path):
    """Every name of a transposition that a file uses, as an attribute or a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imports = {name.rsplit(".", 1)[-1] for name in imported(path)}
    return (attributes | imports) & TRANSPOSITIONS


@pytest.mark.parametrize("path", modules("torchref"), ids=short)
def test_only_conventions_transposes(path):
    """A second place that turns columns into rows is where the two turn twice, or not at all."""
    assert bool(transposing(path)) == (path.name == "conventions.py"), f"{short(path)} uses {transposing(path)}"


MAKERS = {"default_rng", "Generator", "RandomState", "SeedSequence", "PCG64", "Philox", "SFC64", "MT19937"}
GLOBAL = {"numpy.random", "np.random", "torch.random"}
TORCH = {
    "manual_seed",
    "seed",
    "rand",
    "randn",
    "randint",
    "randperm",
    "rand_like",
    "randn_like",
    "bernoulli",
    "multinomial",
    "normal",
}


def makes_randomness(path):
    """Calls that make a generator or draw from a global one, as text; annotations are no calls."""
    tree, found = ast.parse(path.read_text(encoding="utf-8")), []
    shared = GLOBAL | ({"random"} & roots(path))  # otherwise a generator may go by that name
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            owner, _, name = ast.unparse(node.func).rpartition(".")
            if name in MAKERS or owner in shared or (owner == "torch" and name in TORCH):
                found.append(f"line {node.lineno}: {ast.unparse(node.func)}")
    return found


@pytest.mark.parametrize(
    "path", [p for package in ("scratch", "torchref", "experiments") for p in modules(package)], ids=short
)
def test_only_randomness_makes_generators(path):
    """A stream made elsewhere depends on the order of calls, or is not the same for both implementations."""
    found = makes_randomness(path)
    makers = {
        str(Path("scratch", "randomness.py")),
        str(Path("scratch", "arguments.py")),
    }  # the latter of a user's seed
    assert bool(found) == (short(path) in makers), f"{short(path)}: {found}"
    assert "random" not in roots(path)


RANDOM = ["np.random.default_rng(0)", "default_rng(0)", "numpy.random.seed(1)", "np.random.randn(3)"]
RANDOM += ["torch.randn(2)", "Generator(PCG64(1))", "import random; random.random()"]


@pytest.mark.parametrize("line", RANDOM)
def test_the_search_finds_randomness(tmp_path, line):
    """The check above would prove nothing if the search were blind."""
    written = tmp_path / "written.py"
    written.write_text(f"def f(g: Generator) -> np.random.Generator:\n    g.normal()\n    {line}\n")
    assert makes_randomness(written)
    written.write_text("def f(random: Generator) -> np.random.Generator:\n    return random.standard_normal(3)\n")
    assert not makes_randomness(written)


@pytest.mark.parametrize(
    "line", ["x.T", "x.mT", "np.swapaxes(x, 0, 1)", "x.transpose(0, 1)", "torch.permute(x, (1, 0))"]
)
def test_the_search_finds_transpositions(tmp_path, line):
    """The check above would prove nothing if the search were blind."""
    written = tmp_path / "written.py"
    written.write_text(f"y = {line}\n")
    assert transposing(written)


FORBIDDEN = ("torch", "pandas", "scipy", "matplotlib", "sklearn", "tqdm", "jinja2", "tyro", "torchref", "experiments")


def loaded_by(statement):
    """The top-level modules that a fresh interpreter holds after ``statement``."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{statement}\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_scratch_loads_numpy_alone():
    """An import at the top of any file of scratch that costs its users seconds and hundreds of megabytes."""
    names = ["scratch", *(f"scratch.{p.stem}" for p in modules("scratch") if p.stem != "__init__")]
    extra = loaded_by("\n".join(f"import {name}" for name in names)) - loaded_by("import numpy.random")
    third_party = {m for m in extra if m not in sys.stdlib_module_names and not m.startswith("_")}
    assert third_party == {"scratch"}
    assert not extra & set(FORBIDDEN)


def test_importing_torchref_loads_no_experiments():
    """torchref stands without pandas, figures and the command line."""
    assert not loaded_by("import torchref.training, torchref.initializers, torchref.saving") & {
        "pandas",
        "matplotlib",
        "sklearn",
        "experiments",
        "tyro",
    }


def test_tanh_is_torchs_own():
    """A twin that hands its input back to NumPy would leave torch's graph, and its module would not be torch's."""
    from torchref.layers import twin

    assert type(twin(Tanh(), 3)).__module__.startswith("torch.nn")


@pytest.mark.parametrize("leading", [(), (3,)], ids=str)
def test_pytorchs_own_generator_is_left_alone(leading):
    """Modules that draw weights nobody uses: a caller's next random number would depend on what was compared before."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    list(theirs.train(helpers.job("labels", Tanh(), leading)))
    assert torch.equal(torch.get_rng_state(), before)


COMPILER = """
import numpy as np
import scratch as s, scratch.initializers
from torchref.training import train
random = np.random.default_rng(0)
network = s.Network((s.Dense(5), s.BatchNorm(), s.ReLU(), s.Dense(3)), inputs=4)
start = network.initialize(s.initializers.he, lambda *layer: random)
data, batches = s.Batch(random.normal(size=(4, 9)), random.integers(0, 3, 9)), s.epochs(random, examples=9, size=5, count=2)
for kind in (s.SGD, s.Adagrad, s.RMSProp, s.Adadelta, s.Adam, s.AdamW):
    list(train(s.Job(network.layers, s.CrossEntropy(), start, data, batches, kind(), schedule=s.Cosine(6), clip=s.ClipNorm(1.0))))
assert "torch._dynamo" not in sys.modules
"""


def test_training_does_not_load_the_compiler():
    """PyTorch's optimizers import it, two seconds of every worker, where their own wrappers are called."""
    assert "torch" in loaded_by(COMPILER)
