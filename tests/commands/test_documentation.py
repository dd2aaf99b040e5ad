"""docs/ is what its generator makes, names everything that scratch offers with its twin, and claims nothing that was not run."""

from __future__ import annotations

import re
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import helpers
import matplotlib
import numpy as np
import pytest

import scratch
from experiments.documentation import agreements, differences, extremes, index, ranges
from experiments.documentation.__main__ import DOCS, main
from experiments.documentation.drawings import VALLEY, walk
from experiments.documentation.entries import entry, public
from experiments.documentation.examples import children, refusals
from experiments.documentation.markdown import blocks, docstring, prose, shown, signature
from experiments.documentation.pages import PAGES, documents, modules
from experiments.documentation.twins import BESIDE, NONE, called, counterpart, link
from scratch import initializers
from scratch.clipping import Clip
from scratch.layers import Layer
from scratch.losses import Loss
from scratch.lsuv import lsuv
from scratch.optimizers import Optimizer
from scratch.penalties import MaxNorm, Penalty
from scratch.schedules import Schedule
from torchref import conventions, penalties
from torchref import initializers as theirs

ROOT = DOCS.parent
BY_HAND = {"cluster.md", "hostile_inputs.md", "statements.md"}


@pytest.fixture(scope="module")
def made():
    """Every page and figure, made now."""
    return documents()


def drawn_with():
    """The matplotlib that made the committed figures: another one may place a point differently in the last digit."""
    return re.search(r"matplotlib==(\S+)", (ROOT / "constraints.txt").read_text())[1]


def test_committed_pages_are_the_generated_ones(made):
    """A docstring was changed, but docs/ not made again; or a page was changed by hand."""
    for name, text in made.items():
        if name.endswith(".md"):
            assert (DOCS / name).read_bytes() == text.encode(), f"{name}: run python -m experiments.documentation"


def test_committed_figures_are_the_generated_ones(made):
    """A formula was changed, but its picture not drawn again."""
    if matplotlib.__version__ != drawn_with():
        pytest.skip(f"figures were drawn with matplotlib {drawn_with()}, this is {matplotlib.__version__}")
    for name, text in made.items():
        if name.endswith(".svg"):
            assert (DOCS / name).read_bytes() == text.encode(), f"{name}: run python -m experiments.documentation"


def test_nothing_else_lies_in_docs(made):
    """A page of something that is gone would stay for ever."""
    found = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*") if p.is_file()}
    assert found - BY_HAND == made.keys()


def test_main_writes_what_documents_makes(made, tmp_path, monkeypatch):
    """The command would write something else than what the tests compare."""
    monkeypatch.setattr("experiments.documentation.__main__.DOCS", tmp_path)
    monkeypatch.setattr("experiments.documentation.__main__.documents", lambda: made)
    main()
    written = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {name: text.encode() for name, text in made.items()}


def on_pages():
    return [thing for page in PAGES.values() for module in modules(page) for thing in public(module)]


def parts(text):
    """Name of an entry -> its part of the page."""
    return {part.partition("\n")[0]: part for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]}


def test_every_module_is_on_exactly_one_page():
    """A new file of scratch would have no page."""
    named = [name for page in PAGES.values() for name in page.modules]
    assert sorted(named) == sorted(p.stem for p in (ROOT / "scratch").glob("*.py") if p.stem != "__init__")


LEAVES = [
    kind for base in (Layer, Loss, Penalty, Optimizer, Clip, Schedule) for kind in helpers.leaves(base)
    if kind.__module__.startswith("scratch.")
]  # fmt: skip
OFFERED = {
    **{name: getattr(scratch, name) for name in scratch.__all__},
    **{kind.__name__: kind for kind in LEAVES},
    **initializers.by_name(),
}


def test_there_is_much_to_offer():
    """The next test would prove nothing about an empty list."""
    assert len(LEAVES) > 45 and len(OFFERED) > 65 and MaxNorm in OFFERED.values()


@pytest.mark.parametrize("name", OFFERED)
def test_everything_offered_has_an_entry_with_a_twin(made, name):
    """What a user may take would be missing, or leave open what it is in PyTorch."""
    part = entry(OFFERED[name], name)
    assert sum(part in text for text in made.values()) == 1
    assert re.search(r"^- \*\*PyTorch\*\*: (.*`torch|none: |no module: )", part, re.MULTILINE), part


@pytest.mark.parametrize("thing", on_pages(), ids=lambda thing: f"{thing.__module__}.{thing.__name__}")
def test_every_docstring_has_a_first_line(thing):
    """The formula of an entry would be empty."""
    first, _ = docstring(thing)
    assert len(first) > 5 and first.endswith((".", ")"))
    assert f"> {prose(first)}" in entry(thing, thing.__name__)


def test_counterparts_are_of_things_that_exist():
    """A table of names by hand goes stale in silence."""
    there = {f"{thing.__module__}.{thing.__qualname__}" for thing in on_pages()}
    assert there >= BESIDE.keys() | NONE.keys()
    with pytest.raises(AttributeError):
        link("torch.nn.Linaer")


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (scratch.Dense, "`torch.nn.Linear`"),
        (scratch.SquaredError, "`torch.nn.MSELoss`"),
        (scratch.RMSProp, "`torch.optim.RMSprop`"),
        (scratch.WarmRestarts, "`torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`"),
        (scratch.ClipNorm, "`torch.nn.utils.clip_grad_norm_`"),
        (scratch.MaxNorm, "`torch.renorm`"),
        (initializers.he, "`torchref.initializers.he` by [`torch.nn.init.kaiming_normal_`]"),
        (scratch.Dropout, "after training [`torch.nn.Dropout`]"),
        (lsuv, "none: "),
    ],
)
def test_counterparts(thing, expected):
    """The name of something else would send a reader to the wrong page of PyTorch's manual."""
    assert expected in counterpart(thing)


def test_called_reads_the_source():
    """A call of something else, or a context manager, would be taken for PyTorch's function."""
    assert called(theirs.he) == ["torch.nn.init.kaiming_normal_"]
    assert called(penalties.project) == ["torch.renorm"]
    assert called(conventions.columns) == []


@pytest.mark.parametrize("witness", differences.DIFFERENT + extremes.EXTREME, ids=lambda w: w.__name__)
def test_what_is_said_to_differ_differs(witness):
    """A difference that a newer PyTorch has removed would still be told."""
    ours, theirs = witness()
    assert ours != theirs


@pytest.mark.parametrize("witness", agreements.ALIKE, ids=lambda w: w.__name__)
def test_what_is_said_to_agree_agrees(witness):
    """The page would promise PyTorch's behaviour where scratch has another."""
    ours, theirs = witness()
    assert ours == theirs.partition(" (")[0]


def test_every_witness_is_in_its_table():
    """A claim that was written and forgotten."""
    tables = ((differences, differences.DIFFERENT), (extremes, extremes.EXTREME), (agreements, agreements.ALIKE))
    for module, table in tables:
        written = {thing for thing in public(module) if thing.__name__ not in ("table", "text")}
        assert written == set(table) and len(table) == len(set(table))


def test_ranges_are_those_tried(made):
    """An option that the search does not reach, or a refusal of PyTorch's that is nowhere told."""
    tried = dict(ranges.options())
    for kind in LEAVES:
        numbers = {f.name for f in fields(kind) if f.type in ("float", "int", "Rates", "tuple[float, float]")}
        reached = {name for name in numbers for base in kind.__mro__ if f"{base.__name__}({name})" in tried}
        assert issubclass(kind, (*ranges.NOT_PYTORCHS, Penalty)) or reached == numbers, kind
    assert set(tried["Softplus(threshold)"]) >= {(-1, "refused", "taken"), (0.5, "taken", "taken")}
    assert (3, "refused", "taken") in tried["OneCycle(steps)"] and (-1, "refused", "taken") in tried[
        "Categorical(weight)"
    ]
    assert "| `OneCycle(steps)` | 1, 2, 3 |" in made["differences.md"]
    assert not [
        place
        for place, answers in tried.items()
        if any("(Value" in torchs for _, mine, torchs in answers if mine == "taken")
    ]


def test_links_lead_somewhere(made):
    """A page or a figure that was renamed."""
    there = made.keys() | BY_HAND
    for name, text in made.items():
        if name.endswith(".md"):
            assert {goal for goal in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in goal} <= there, name
    assert {goal for answers in index.QUESTIONS.values() for goal in answers.values()} <= PAGES.keys() | {"differences"}


class Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_data(self, data):
        self.found.append(data)


def test_figures_are_labelled(made):
    """A panel without its name; text is text in an SVG and can be searched."""
    shown_in = {"activations": [kind.__name__ for kind in scratch.activations.by_name().values()] + ["a(z)", "da/dz"]}
    shown_in["schedules"] = [kind.__name__ for kind in children(Schedule)]
    shown_in["optimizers"] = [
        kind.__name__ for kind in helpers.leaves(Optimizer) if kind.__module__.startswith("scratch.")
    ]
    for name, expected in shown_in.items():
        reader = Text()
        reader.feed(made[f"figures/{name}.svg"])
        assert {label.strip() for label in reader.found} >= set(expected)


def test_prose_means_nothing_to_markdown():
    """|x| in a table, a_i beside another, p < 1: all of it must arrive as it was written."""
    assert prose("|x| < a_i·b_j * ``a_b|*`` ~") == r"\|x\| \< a\_i·b\_j \* `a_b|*` \~"


def test_blocks():
    """A wrapped line that begins with + would become a list."""
    assert (
        blocks("one\n+ two\n\n    code  # |\n      more\n\nlast")
        == "one + two\n\n```python\ncode  # |\n  more\n```\n\nlast"
    )


def test_signatures():
    """Types, defaults, the star before what has to be named, results."""
    assert signature(scratch.Dense, "Dense") == "Dense(units: int, bias: bool = True)"
    assert (
        signature(scratch.L2, "L2").replace("\n    ", " ")
        == "L2(strength: float, *, reach: Literal['weights', 'all'] = 'weights')"
    )
    assert signature(scratch.Warmup, "W") == "W(steps: int, then: Schedule = Constant(), beginning: float = 0.3333)"
    assert signature(Layer.width, ".width") == ".width(n_in: int) -> int"
    assert "optimizer: Optimizer = SGD(0.1),\n" in signature(scratch.Job, "Job")
    assert signature(scratch.network.Trace, "T") == "T(outputs: list[Array], douts: list[Array])"
    assert "\n" not in signature(scratch.Job, "Job", float("inf"))
    assert signature(scratch.InvalidInput, "I") == "class I(ValueError)"


def test_shown():
    """A description as one would write it."""
    assert shown(scratch.Warmup(20, scratch.Cosine(80))) == "Warmup(20, then=Cosine(80))"
    assert shown(scratch.SGD(0.1, 0.9, nesterov=True)) == "SGD(0.1, momentum=0.9, nesterov=True)"
    assert shown(scratch.MultiStep((3,))) == "MultiStep((3,))"
    assert shown(scratch.Residual((scratch.Tanh(),))) == "Residual((Tanh(),))"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (scratch.Dense, ["Dense(units=0): must be at least one unit"]),
        (scratch.LeakyReLU, ["LeakyReLU(slope=nan): must be a finite number"]),
        (scratch.Adam, []),  # all its options are those of Optimizer and of Moments
        (scratch.optimizers.Moments, ["Moments(betas=(-1.0, -1.0)): must lie in [0, 1)"]),
        (scratch.StepDecay, ["StepDecay(every=0): must be 1 or more"]),
        (scratch.Tanh, []),
    ],
)
def test_refusals(kind, expected):
    """What is shown is what making it with a wrong option says, for its own options alone."""
    assert refusals(kind)[:1] == expected


def test_shapes_are_symbolic(made):
    """Numbers of an example would say nothing about a layer of another size."""
    part = parts(made["layers.md"])
    assert "- **parameters**: `W` (units, n_in); `b` (units, 1)" in part["Dense"]
    assert "`mask` (n_in, m), True with probability 0.5" in part["Dropout"]
    assert "`0.W` (units, n_in)" in part["Residual"] and "`2.W` (n_in, units)" in part["Residual"]
    batch = parts(made["normalization.md"])["BatchNorm"]
    assert (
        "`running_mean` (n_in, 1), first 0; `running_var` (n_in, 1), first 1; `num_batches_tracked` (1, 1), first 0"
        in batch
    )
    assert "**memory of `RMSProp(centered=True, momentum=0.9)`**: `square`, `mean`, `velocity`" in made["optimizers.md"]


def test_the_walk_of_sgd_is_the_closed_form():
    """The drawn points are those of θ_t = (1 − ηh)^t θ_0."""
    t = np.arange(6)[:, None]
    np.testing.assert_allclose(walk(scratch.SGD(0.09), 5), (1 - 0.09 * VALLEY) ** t * [3.0, 1.0], rtol=1e-13)


def test_no_page_names_this_machine(made):
    """Paths of whoever made the pages."""
    for text in made.values():
        assert str(ROOT) not in text and str(Path.home()) not in text
