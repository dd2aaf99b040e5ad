"""The README's example of the library runs as it is written, and says what the text around it says."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()
(EXAMPLE,) = re.findall(r"^```python\n(from functools .*?)^```", README, re.S | re.M)


def test_the_librarys_example_runs(tmp_path, monkeypatch, capsys):
    """A name that moved; an example that learns nothing, or otherwise in the two implementations."""
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLE, "README.md", "exec"), {})
    ours, theirs = map(float, capsys.readouterr().out.split())
    assert min(ours, theirs) > 0.85 and abs(ours - theirs) < 0.05  # of 240 examples; six hundred steps magnify rounding
    assert Path("network.safetensors").is_file()


def test_the_librarys_example_needs_the_library_alone():
    """An example of scratch that only works with this project's data sets."""
    imported = {line.split()[1].partition(".")[0] for line in EXAMPLE.splitlines() if re.match("from|import", line)}
    assert imported == {"functools", "numpy", "scratch", "torchref"}


def test_the_estimators_example_runs(capsys):
    """A parameter that has another name; networks that learn nothing of digits."""
    (example,) = re.findall(r"^  ```python\n(  from experiments.estimators .*?)^  ```", README, re.S | re.M)
    exec(compile(textwrap.dedent(example), "README.md", "exec"), {})
    scores = [float(word) for word in re.findall(r"0\.\d+", capsys.readouterr().out)]
    assert len(scores) == 3 and min(scores) > 0.8
