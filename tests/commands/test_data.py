"""The data door: every usual kind of file or table gives the numbers of a plain one; whatever cannot be right is refused in one line."""

from __future__ import annotations

import gzip
import io
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from experiments import data
from experiments.catalog.vanishing_gradient import depth_scale
from experiments.lab import Lab
from experiments.lab.experiment import load, names
from experiments.lab.options import DataOptions
from experiments.reading import arrays as array_files
from experiments.reading import text as text_files
from experiments.run import main
from scratch.contract import Batch
from scratch.errors import InvalidInput
from scratch.files import check_file, check_npz

EXAMPLES = 20
X = np.round(np.random.default_rng(0).normal(size=(3, EXAMPLES)), 3)
Y = np.arange(EXAMPLES) * 7 % 3
WORDS = np.array(["cat", "dog", "eel"])[Y]
NAMES = ("height", "width", "age")


def rows(separator=",", decimal=".", labels=Y, index=None, quote="", end=""):
    lines = []
    for k, (x, y) in enumerate(zip(X.T, labels, strict=True)):
        numbers = [f"{quote}{value:.3f}{quote}".replace(".", decimal) for value in x]
        lines.append(
            separator.join([*([] if index is None else [str(index[k])]), *numbers, f"{quote}{y}{quote}"]) + end
        )
    return lines


HEADER = "height,width,age,kind"


def text(lines, header: str | None = HEADER, newline="\n"):
    return newline.join([*([] if header is None else [header]), *lines, ""])


@pytest.fixture
def plain():
    """The numbers, standardised as the notes say: by the training part's mean and deviation."""
    train, test = data._split("data", Y)
    mean, deviation = X[:, train].mean(1, keepdims=True), X[:, train].std(1, keepdims=True)
    scaled = (X - mean) / deviation
    return Batch(scaled[:, train], Y[train]), Batch(scaled[:, test], Y[test])


def same(held, plain, labels=("0", "1", "2")):
    for ours, theirs in zip((held.train, held.test), plain, strict=True):
        assert ours.x.tobytes() == theirs.x.tobytes() and ours.y.tobytes() == theirs.y.tobytes()
    assert held.labels == labels and held.classes == 3


SEMICOLON = HEADER.replace(",", ";")
TEXTS = {  # a file's name and its text: no word is to be said of these
    "plain.csv": text(rows()),
    "capitals.CSV": text(rows()),
    "no header.csv": text(rows(), None),
    "tabs.tsv": text(rows("\t"), HEADER.replace(",", "\t")),
    "tabs.csv": text(rows("\t"), None),
    "semicolons.csv": text(rows(";"), SEMICOLON),
    "decimal comma.csv": text(rows(";", ","), SEMICOLON),
    "decimal comma, no header.csv": text(rows(";", ","), None),
    "decimal comma in tabs.txt": text(rows("\t", ","), None),
    "decimal comma in spaces.txt": text(rows(" ", ","), None),
    "spaces.txt": text(rows(" "), None),
    "aligned.txt": text(["  " + row for row in rows("   ")], " height  width age kind"),
    "comma and space.csv": text(rows(", "), HEADER.replace(",", ", ")),
    "quoted.csv": text(rows(quote='"'), '"height","width","age","kind"'),
    "quoted decimal comma.csv": text(rows(";", ",", quote='"'), SEMICOLON),
    "byte order mark.csv": "\ufeff" + text(rows()),
    "byte order mark, no header.csv": "\ufeff" + text(rows(), None),
    "CRLF.csv": text(rows(), newline="\r\n"),
    "CR.csv": text(rows(), newline="\r"),
    "comments.csv": "# made by hand\n" + text([*rows(), "# the end"]) + "#",
    "comments behind.csv": text(rows(end="  # seen, and noted")),
    "blank lines.csv": "\n" + text([*rows()[:5], "", ",,,", *rows()[5:], "", ""]),
    "separators at the end.csv": text(rows(end=","), HEADER + ","),
    "separators at the end of rows.csv": text(rows(end=",")),
    "separator told.csv": "sep=;\n" + text(rows(";", ","), SEMICOLON),
    "no newline at the end.csv": text(rows()).rstrip("\n"),
    "a line break inside of quotes.csv": text(rows(), '"height\nin m",width,age,kind'),
    "labels with a point.csv": text(rows(labels=[f"{y}.0" for y in Y])),
    "years for names.csv": text(rows(), "1990,1991,1992,kind"),
    "columns without names.csv": text(rows(), "0,1,2,kind"),
}
SAID = {  # and what is said of these
    "index.csv": (text(rows(index=range(EXAMPLES)), "," + HEADER), "numbers the rows"),
    "read and written.csv": (text(rows(index=range(EXAMPLES)), "Unnamed: 0," + HEADER), "numbers the rows"),
    "shuffled index.csv": (text(rows(index=np.arange(EXAMPLES)[::-1] * 7), "," + HEADER), "numbers the rows"),
    "Id.csv": (text(rows(index=range(1, EXAMPLES + 1)), "Id," + HEADER), "numbers the rows"),
    "index, no header.csv": (text(rows(index=range(EXAMPLES)), None), "column 1 numbers the rows"),
    "index, no names.csv": (text(rows(index=range(EXAMPLES)), ",0,1,2,3"), "numbers the rows"),
    "R.txt": (text(rows(" ", index=[f'"{k}"' for k in range(1, EXAMPLES + 1)]), '"height" "width" "age" "kind"'), "numbers the rows"),
}  # fmt: skip
ENCODED = {
    "data.csv": lambda raw: raw,
    "data.csv.gz": gzip.compress,
    "data.CSV.GZ": gzip.compress,
    "data.tsv": lambda raw: raw,
    "data.txt": lambda raw: raw,
    "data.txt.gz": gzip.compress,
}


def written(folder, content, name="data.csv"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("kind", TEXTS)
def test_text_of_every_kind_gives_the_same_numbers(tmp_path, plain, kind):
    """A first example taken for a header, a column too many, a comma for a separator, other digits."""
    held = data.load(written(tmp_path, TEXTS[kind], "data" + Path(kind).suffix))
    same(held, plain)
    assert held.notes == ()


@pytest.mark.parametrize("kind", SAID)
def test_a_column_that_numbers_the_rows_is_no_feature(tmp_path, plain, kind):
    """pandas' to_csv writes one unless told otherwise; a network learns the order of the file from it."""
    content, note = SAID[kind]
    held = data.load(written(tmp_path, content, "data" + Path(kind).suffix))
    same(held, plain)
    assert len(held.notes) == 1 and note in held.notes[0]


@pytest.mark.parametrize("name", ENCODED)
def test_the_same_text_packed_or_under_another_suffix(tmp_path, plain, name):
    """A suffix in capitals that is unknown; another split, since the name is another."""
    same(data.load(written(tmp_path, ENCODED[name](text(rows(";", ","), SEMICOLON).encode()), name)), plain)


def test_utf_16_of_a_spreadsheet(tmp_path, plain):
    """A spreadsheet's "Unicode text"."""
    same(data.load(written(tmp_path, text(rows("\t"), HEADER.replace(",", "\t")).encode("utf-16"))), plain)


def test_what_pandas_writes_by_default(tmp_path, plain):
    """to_csv and to_csv(header=False), read back."""
    table = pd.DataFrame(X.T, columns=NAMES).assign(kind=Y)
    table.to_csv(tmp_path / "data.csv")
    same(data.load(tmp_path / "data.csv"), plain)
    table.to_csv(tmp_path / "data.csv", header=False)
    same(data.load(str(tmp_path / "data.csv")), plain)
    table.sample(frac=1, random_state=0).sort_index().to_csv(tmp_path / "data.csv", sep=";", decimal=",")
    same(data.load(tmp_path / "data.csv"), plain)


def test_no_example_is_lost_without_a_header(tmp_path):
    """The first line skipped whatever it holds."""
    held = data.load(written(tmp_path, text(rows(), None)))
    assert held.train.x.shape[1] + held.test.x.shape[1] == EXAMPLES and held.features == 3


LABELS = {
    "words": (WORDS, ("cat", "dog", "eel")),
    "words that pandas takes for missing": (np.array(["none", "some", "very"])[Y], ("none", "some", "very")),
    "from 1": (Y + 1, ("1", "2", "3")),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_mapped_to_classes_and_it_is_said(tmp_path, plain, kind):
    """Labels from 1 that leave an output without a class, or are refused."""
    labels, called = LABELS[kind]
    same(data.load(written(tmp_path, text(rows(labels=labels)))), plain, called)
    held = data.load(written(tmp_path, text(rows(labels=labels), None)))
    same(held, plain, called)
    assert f"{called[0]} → 0, {called[1]} → 1, {called[2]} → 2" in held.notes[0]
    np.savez(tmp_path / "data.npz", x=X, y=labels)
    same(data.load(tmp_path / "data.npz"), plain, called)


def test_a_hash_in_a_word_is_no_comment(tmp_path):
    """C #1 and C #2, which would be one class."""
    path = written(tmp_path, text(rows(labels=np.array(["C#", "C #1", "C #2"])[Y])))
    assert data.load(path).labels == ("C #1", "C #2", "C#")


def test_signs_are_two_classes(tmp_path):
    """−1 and 1 as support vector machines have them; + and − as words."""
    for labels, called in ((2 * (Y > 0) - 1, ("-1", "1")), (np.where(Y > 0, "-", "+"), ("+", "-"))):
        held = data.load(written(tmp_path, text(rows(labels=labels))))
        assert held.labels == called and held.classes == 2 and held.notes
        assert np.bincount(np.concatenate([held.train.y, held.test.y])).sum() == EXAMPLES


def test_the_label_is_in_the_column_that_is_named(tmp_path, plain):
    """A label column that is not the last one: by name, by number from 1, by Python's index."""
    moved = [",".join([row.split(",")[-1], *row.split(",")[:-1]]) for row in rows()]
    path = written(tmp_path, text(moved, "kind,height,width,age"))
    for label in ("kind", "1", 0, -4):
        same(data.load(path, label=label), plain)
    same(data.load(data.with_label(str(path), "kind")), plain)
    assert data.with_label("digits", "") == "digits"
    path = written(tmp_path, text(moved, None))
    for label in ("1", 0):
        same(data.load(path, label=label), plain)
    same(data.load(written(tmp_path, text(moved, "kind,0,1,2")), label="kind"), plain)
    for label in ("nowhere", "0", "5", 4, -5):
        with pytest.raises(InvalidInput, match="column"):
            data.load(path, label=label)
    with pytest.raises(InvalidInput, match="Did you mean 'kind'"):
        data.load(written(tmp_path, text(moved, "kind,height,width,age")), label="knid")
    with pytest.raises(InvalidInput, match="2 columns are called 'age'"):
        data.load(written(tmp_path, text(rows(), "age,height,age,kind")), label="age")
    with pytest.raises(InvalidInput, match="digits has its labels"):
        data.load("digits", label="1")


def test_arrays_of_other_names(tmp_path, plain):
    """scikit-learn's X and y, Keras' x_train; another array of labels."""
    for arrays in (
        {"X": X, "y": Y}, {"X": X.T, "y": Y}, {"X": X, "Y": Y}, {"x_train": X.T, "y_train": Y, "x_test": X.T[:2], "y_test": Y[:2]},
        {"X_train": X.T, "y_train": Y}, {"x": X, "y": Y, "notes": np.array([{}], dtype=object)}, {"x": X.astype("f4").astype("f8"), "y": Y},
    ):  # fmt: skip
        np.savez(tmp_path / "data.npz", **arrays)
        held = data.load(tmp_path / "data.npz")
        assert np.allclose(held.train.x, plain[0].x, atol=1e-6) and held.train.y.tolist() == plain[0].y.tolist()
    with open(tmp_path / "data.NPZ", "wb") as file:
        np.savez_compressed(file, x=X, target=Y)
    same(data.load(tmp_path / "data.NPZ", label="target"), plain)
    np.savez(tmp_path / "data.npz", x=X.T, y=Y)
    same(data.load(tmp_path / "data.npz", rows=True), plain)
    np.savez(tmp_path / "data.npz", X=X[:, :3], y=Y[:3])
    with pytest.raises(InvalidInput, match="square"):
        data.load(tmp_path / "data.npz")
    np.savez(tmp_path / "data.npz", inputs=X, target=Y)
    with pytest.raises(InvalidInput, match="it holds inputs, target"):
        data.load(tmp_path / "data.npz")


def test_a_single_array_in_a_file(tmp_path, plain):
    """.npy: a table with its label last, or with the labels beside it."""
    np.save(tmp_path / "data.npy", np.vstack([X, Y]).T)
    same(data.load(tmp_path / "data.npy"), plain)
    np.save(tmp_path / "data.npy", np.vstack([Y, X]).T)
    same(data.load(tmp_path / "data.npy", label="1"), plain)
    np.save(tmp_path / "data.npy", X)
    same(data.load(tmp_path / "data.npy", rows=False, labels=Y), plain)
    np.save(tmp_path / "data.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInput, match="cannot be read as data"):
        data.load(tmp_path / "data.npy")


FRAME = pd.DataFrame(X.T, columns=NAMES)
OBJECTS = {
    "DataFrame": lambda: data.load(FRAME.assign(kind=Y)),
    "DataFrame, rows": lambda: data.load(FRAME.assign(kind=Y), rows=True),
    "DataFrame, label named": lambda: data.load(FRAME.assign(kind=Y)[["kind", *NAMES]], label="kind"),
    "DataFrame, labels beside": lambda: data.load(FRAME, labels=Y),
    "DataFrame, Series beside": lambda: data.load(FRAME, labels=pd.Series(Y)),
    "DataFrame of pandas' own types": lambda: data.load(
        FRAME.convert_dtypes().assign(kind=pd.Series(Y, dtype="Int64"))
    ),
    "DataFrame without names": lambda: data.load(pd.DataFrame(np.vstack([X, Y]).T)),
    "DataFrame with an index of its own": lambda: data.load(FRAME.assign(kind=Y).set_index(np.arange(EXAMPLES) * 3)),
    "array": lambda: data.load(X, labels=Y),
    "array, labels in a list": lambda: data.load(X, labels=Y.tolist()),
    "array in rows": lambda: data.load(X.T, rows=True, labels=Y),
    "array in rows, label last": lambda: data.load(np.vstack([X, Y]).T, rows=True),
    "array in rows, label first": lambda: data.load(np.vstack([Y, X]).T, rows=True, label=0),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_tables_and_arrays(plain, kind):
    """A notebook that has to write a file first; rows taken for columns."""
    same(OBJECTS[kind](), plain)


def test_words_in_a_data_frame(plain):
    """Labels as strings, as a category, as Booleans."""
    for words in (WORDS, WORDS.astype(object), pd.Categorical(WORDS)):
        same(data.load(FRAME.assign(kind=words)), plain, ("cat", "dog", "eel"))
    assert data.load(FRAME.assign(kind=Y > 0)).labels == ("False", "True")
    held = data.load(FRAME.assign(kind=Y).reset_index().rename(columns={"index": "Unnamed: 0"}))
    same(held, plain)
    assert "numbers the rows" in held.notes[0]


# --- what is refused -------------------------------------------------------------------------------------------------------


def holed(line, column, cell=""):
    lines = text(rows()).splitlines()
    cells = lines[line - 1].split(",")
    cells[column - 1] = cell
    return "\n".join([*lines[: line - 1], ",".join(cells), *lines[line:]])


REFUSED = {
    "missing": (holed(5, 2), r"line 5, column 2 \('width'\): the value is missing"),
    "missing, NA": (holed(7, 3, "NA"), r"line 7, column 3 \('age'\): the value is missing"),
    "missing, NaN": (holed(2, 1, "NaN"), r"line 2, column 1 .*missing"),
    "missing, Excel's": (holed(4, 1, "#N/A"), r"line 4, column 1 .*missing"),
    "missing label": (holed(9, 4), r"line 9, column 4 \('kind'\): the value is missing"),
    "missing below comments": ("# one\n\n# two\n" + holed(5, 2), "line 8, column 2"),
    "missing below a quoted line break": (holed(5, 2).replace("height", '"height\nin m"', 1), "line 6, column 2"),
    "missing in the first line": ("\n".join(holed(2, 2).splitlines()[1:]), "line 1, column 2: the value is missing"),
    "missing word": (text(rows(labels=["", *WORDS[1:]])), r"line 2, column 4 \('kind'\): the value is missing"),
    "infinite": (holed(3, 1, "-inf"), "line 3, column 1 .*'-inf' must be finite"),
    "too large for any float": (holed(3, 1, "1e999"), "line 3, column 1 .*'1e999' must be finite"),
    "word among numbers": (holed(4, 2, "two"), r"line 4, column 2 \('width'\): 'two' is no number"),
    "Python's underscore": (holed(4, 2, "1_0"), "line 4, column 2 .*is no number"),
    "neither header nor example": (
        "1,two,3,0\n" + text(rows(), None),
        "line 1 is no header .*'1'.* no example .*'two'",
    ),
    "header of numbers": (text(rows(), "0,1,2,3"), "line 1 may number the columns"),
    "too few in a line": (text([*rows()[:3], "1,2,0", *rows()[3:]]), "line 5 holds 3 values, line 1 holds 4"),
    "too many in a line": (text([*rows()[:3], "1,2,3,4,0", *rows()[3:]]), "line 5 holds 5 values"),
    "decimal comma beside a point": (
        text([*rows(";", ",")[:3], "1.234;2,5;1,0;0"], SEMICOLON),
        "line 5.*1.234.*decimal comma",
    ),
    "a single column": ("a\n1\n2\n3\n", "single column"),
    "a quote that never ends": (text(rows()) + '"1,2,3,0\n', "line 22"),
    "a huge id": (holed(3, 2, "18446744073709551615"), "line 3, column 2 .*float64 rounds 18446744073709551615"),
    "complex": (holed(3, 2, "1+2j"), "line 3, column 2 .*'1[+]2j' is no number"),
    "date": (holed(3, 2, "2024-01-01"), "line 3, column 2 .*is no number"),
    "1e308": (holed(3, 2, "1e308"), r"column 2 \('width'\), example 1: every number must lie within ±1e[+]300"),
    "two examples": (text(rows()[:2]), "2 examples are too few"),
    "three examples": (text(rows()[:3]), "3 examples are too few"),
    "one class": (text(rows(labels=[0] * EXAMPLES)), "two classes"),
    "a gap in the classes": (text(rows(labels=2 * Y)), "found 0, 2, 4"),
    "a fraction": (text(rows(labels=Y + 0.5)), r"found 0.5. Is it the right column\?"),
    "a class for every example": (text(rows(labels=[f"n{k}" for k in range(EXAMPLES)])), "class of its own"),
    "features that are all constant": (
        "\n".join(["a,b,kind", *(f"0.1,7,{y}" for y in Y)]),
        "every feature is constant",
    ),
    "no text": (b"\x80\x81", "line 1 is no UTF-8 text"),
    "zero bytes": (b"1,2,0\n\0\0", "line 2 holds a zero byte"),
    "nothing": ("", "no line of data"),
    "comments alone": ("# a\n# b\n", "no line of data"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_wrong_is_named_by_line_and_column(tmp_path, kind):
    """A reader's own error without the place, or a guess that goes on."""
    content, words = REFUSED[kind]
    path = written(tmp_path, content)
    with pytest.raises(InvalidInput, match=words) as caught:
        data.load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and message.count("data.csv") == 1


def test_one_class_left_to_train_on(tmp_path):
    """A single example of the other class, which the split puts into the test part."""
    _, test = data._split("data", Y)
    labels = np.zeros(EXAMPLES, int)
    labels[test[0]] = 1
    with pytest.raises(InvalidInput, match="of 16 examples to train on all are of one class"):
        data.load(written(tmp_path, text(rows(labels=labels))))


WRONG = {
    "uint64 ids": (lambda: data.load(np.full(X.shape, 2**64 - 1, np.uint64), labels=Y), "holds 18446744073709551615"),
    "negative ids": (lambda: data.load(np.full(X.shape, -(2**62)), labels=Y), "holds -4611686018427387904"),
    "complex": (lambda: data.load(X + 1j, labels=Y), "got complex128: x.real"),
    "datetimes": (lambda: data.load(X.astype("M8[s]"), labels=Y), "datetime64.*say in which unit"),
    "durations": (lambda: data.load(X.astype("m8[s]"), labels=Y), "timedelta64.*say in which unit"),
    "objects": (lambda: data.load(X.astype(object), labels=Y), "got object: x.astype"),
    "text": (lambda: data.load(X.astype(str), labels=Y), "numbers, not text"),
    "datetimes in a frame": (lambda: data.load(FRAME.assign(age=pd.Timestamp(0), kind=Y)), r"column 3 \('age'\).*datetime64"),
    "complex in a frame": (lambda: data.load(FRAME.assign(age=1j, kind=Y)), r"column 3 \('age'\).*complex128"),
    "words in a frame": (lambda: data.load(FRAME.assign(age=WORDS, kind=Y)), r"column 3 \('age'\)"),
    "missing in a frame": (lambda: data.load(FRAME.assign(age=[1.0] * 6 + [None] * 14, kind=Y)), r"row 6, column 3 \('age'\).*missing"),
    "missing label in a frame": (lambda: data.load(FRAME.assign(kind=[*WORDS[1:], None])), r"row 19, column 4 \('kind'\).*missing"),
    "no such column": (lambda: data.load(FRAME.assign(kind=Y), label="knd"), "Did you mean 'kind'"),
    "examples in rows": (lambda: data.load(X.T, labels=Y), "transpose, an example is a column"),
    "no labels": (lambda: data.load(X), "needs its labels"),
    "labels twice": (lambda: data.load(FRAME, label="age", labels=Y), "either the labels"),
    "labels of another length": (lambda: data.load(X, labels=Y[:-1]), r"got X \(3, 20\), Y \(19,\)"),
    "labels ragged": (lambda: data.load(X, labels=[[1], [2, 3]]), "lists of different lengths"),
    "labels one hot": (lambda: data.load(X, labels=np.eye(3)[Y]), "argmax"),
    "labels in a column": (lambda: data.load(X, labels=Y[:, None]), "ravel"),
    "labels NaN": (lambda: data.load(X, labels=np.where(Y > 0, np.nan, Y)), "found nan"),
    "labels complex": (lambda: data.load(X, labels=Y + 0j), "whole numbers or words, got complex128"),
    "labels beyond int64": (lambda: data.load(X, labels=Y.astype(np.uint64) + np.uint64(2**63)), "found 9223372036854775808"),
    "labels of mixed kinds": (lambda: data.load(X, labels=np.array(["a", 1] * 10, dtype=object)), "objects: int, str"),
    "masked": (lambda: data.load(np.ma.MaskedArray(X, X > 1), labels=Y), "MaskedArray: fill in"),
    "a list": (lambda: data.load(X.tolist(), labels=Y), "got list: np.array"),
    "a Series": (lambda: data.load(pd.Series(Y)), "got Series"),
    "NaN": (lambda: data.load(np.where(np.equal(X, X[1, 4]), np.nan, X), labels=Y), "X holds nan at feature 1, example 4"),
    "three axes": (lambda: data.load(X.T[..., None], rows=True, labels=Y), r"reshape x to \(20, …\)"),
    "a frame in columns": (lambda: data.load(FRAME.assign(kind=Y), rows=False), "an example is a row"),
    "another type": (lambda: data.load("iris", "float16"), "float16"),
    "a label's column as a list": (lambda: data.load("iris.csv", label=["kind"]), "got list"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_objects_that_are_no_data(kind):
    """A conversion that drops an imaginary part, wraps a number, or rounds ids to one."""
    make, words = WRONG[kind]
    with pytest.raises(InvalidInput, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_torch_tensor_is_told_its_way():
    """An AttributeError from the depths."""
    torch = pytest.importorskip("torch")
    with pytest.raises(InvalidInput, match=r"got Tensor: x.numpy\(\)"):
        data.load(torch.zeros(2, 3))


# --- files that are none ---------------------------------------------------------------------------------------------------


def bomb(path, size):
    """An archive of a few kilobytes that unpacks to ``size`` zeros."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        for _ in range(size // 2**20):
            file.write(bytes(2**20))


def test_files_that_never_end_or_burst_are_refused_at_once(tmp_path, capsys, monkeypatch):
    """A pipe that is waited for, a device that fills the memory, an archive that does."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.csv")
    Path("zeros.csv").symlink_to("/dev/zero")
    Path("loop.csv").symlink_to("loop.csv")
    Path("folder.csv").mkdir()
    monkeypatch.setattr(array_files, "LIMIT", 2**22)
    monkeypatch.setattr(text_files, "LIMIT", 2**22)
    bomb("bomb.npz", 2**23)
    Path("bomb.csv.gz").write_bytes(gzip.compress(b"1,2,0\n" * 2**20))
    Path("long.csv").write_bytes(b"1,2,0\n" * 2**20)
    np.save("long.npy", np.zeros((2**20, 1)))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**50, 2)})
    Path("lying.npy").write_bytes(header.getvalue())
    Path("packed.csv.gz").write_bytes(b"no gzip")
    Path("cut.csv.gz").write_bytes(gzip.compress(b"1,2,0\n" * 99)[:-9])
    names = ["pipe.csv", "zeros.csv", "loop.csv", "folder.csv", "bomb.npz", "bomb.csv.gz", "long.csv", "long.npy", "lying.npy",
             "packed.csv.gz", "cut.csv.gz", "n" * 300 + ".csv", "nowhere.csv", "zero\0byte.csv", "line\nbreak.csv"]  # fmt: skip
    for name in names:
        started = time.process_time()  # of this process alone: others may keep the machine busy
        assert main(["vanishing_gradient", "--data", name, "--dry-run"]) == 2, name
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and len(err) < 250, err
        assert repr(name[:50])[1:-1] in err and time.process_time() - started < 2, name


def test_the_guards_say_what_they_expected(tmp_path):
    """A guard that lets through what it is asked about."""
    good = tmp_path / "good.npz"
    np.savez(good, x=X)
    check_file(good)
    check_npz(good, 10_000)
    with pytest.raises(InvalidInput, match="would inflate to"):
        check_npz(good, 100)
    with pytest.raises(InvalidInput, match="it is no npz file"):
        check_npz(written(tmp_path, "text"), 100)
    with pytest.raises(InvalidInput, match="expected a file, got a folder"):
        check_file(tmp_path)
    with pytest.raises(InvalidInput, match="there is no such file"):
        check_file(tmp_path / "nowhere")


# --- standardising ---------------------------------------------------------------------------------------------------------


def standardised(column, train):
    """One column of its own beside an ordinary one."""
    x = np.vstack([column, np.arange(len(column)) % 5.0])
    return data.standardise(x, train, ("column", "other"), "float64")[0]


@pytest.mark.parametrize("constant", [0.1, 1 / 3, 123.456, -7e-5, 1e200, 1e-200, 0.0, 1e16 / 3])
@pytest.mark.parametrize("count", [7, 1000, 12345])
def test_a_constant_column_stays_so(constant, count):
    """The mean of equal numbers is off by a rounding, which is all of their deviation: ±1 where nothing is."""
    column, train = np.full(count + 1, constant), np.arange(count)
    column[-1] = constant + 0.1
    found = standardised(column, train)
    assert (found[:-1] == 0).all()
    assert found[-1] == column[-1] - constant  # as scikit-learn has it: divided by 1
    scaler = StandardScaler().fit(np.full((count, 1), 0.1))
    assert scaler.scale_[0] == 1


def test_a_column_that_is_constant_but_for_rounding_stays_so():
    """0.1·3/3 beside 0.1: the last digits are no feature; what is a thousand times that is one."""
    column = np.where(np.arange(50) % 2, 0.1, 0.3 / 3)
    assert np.ptp(column) > 0
    assert (standardised(column, np.arange(40)) == 0).all()
    column = 1 + np.arange(50) % 2 * 1e-12
    assert np.allclose(np.abs(standardised(column, np.arange(40))), 1, rtol=1e-3)


@pytest.mark.parametrize("factor", [2.0**600, 2.0**-600, 2.0**900, 2.0**-1000, 1e200, 1e-200, 1e299])
def test_the_unit_of_a_column_does_not_matter(factor):
    """Squares of 1e200 overflow, and those of 1e−200 vanish."""
    column, train = np.random.default_rng(1).normal(size=50), np.arange(40)
    there, here = standardised(column * factor, train), standardised(column, train)
    if np.frexp(factor)[0] == 0.5:
        assert there.tobytes() == here.tobytes()
    np.testing.assert_allclose(there, here, rtol=1e-12)
    np.testing.assert_allclose(
        here, StandardScaler().fit(column[train, None]).transform(column[:, None])[:, 0], rtol=1e-12
    )


def test_what_is_too_large_beside_its_column_is_named(tmp_path):
    """An example to test on, 1e299 where the others are about 1: infinite in float32, where nobody says whose."""
    _, test = data._split("data", Y)
    x = X.copy()
    x[1, test[0]] = 1e299
    np.savez(tmp_path / "data.npz", x=x, y=Y)
    assert np.isfinite(data.load(tmp_path / "data.npz").test.x).all()
    with pytest.raises(InvalidInput, match=rf"data.npz: X holds 1e\+299 at feature 1, example {test[0]}.*float32"):
        data.load(tmp_path / "data.npz", "float32")


def test_bits_of_the_shipped_data_are_those_of_the_plain_formula():
    """Committed results rest on every bit of them."""
    for name in data.SHIPPED:
        held, raw = data.load(name), data._shipped(name)
        train, test = data._split(name, raw.y)
        mean, deviation = raw.x[:, train].mean(axis=1, keepdims=True), raw.x[:, train].std(axis=1, keepdims=True)
        scaled = (raw.x - mean) / np.where(deviation > 0, deviation, 1)
        assert (
            held.train.x.tobytes() == scaled[:, train].tobytes() and held.test.x.tobytes() == scaled[:, test].tobytes()
        )
        assert held.notes == ()


# --- the command line ------------------------------------------------------------------------------------------------------

TAKING_DATA = [name for name in names() if hasattr(load(name).module.Options, "data")]


@pytest.mark.parametrize("name", TAKING_DATA)
def test_every_experiment_that_takes_data_takes_its_label(tmp_path, name, capsys):
    """An experiment that has --data, but not --label, or whose cells are not told; a default whose stored cells are lost."""
    assert issubclass(load(name).module.Options, DataOptions)
    path = written(tmp_path, text([",".join([w, r]) for w, r in zip(WORDS, rows(), strict=True)], "word," + HEADER))
    experiment = load(name)
    options = experiment.options(quick=True, data=str(path), label="word")
    assert options.dataset().labels == ("cat", "dog", "eel") and options.dataset().features == 4
    told = {cell.settings["data"] for cell in experiment.definition.cells(options) if "data" in cell.settings}
    assert told == {data.with_label(str(path), "word")}
    default = {
        cell.settings.get("data", "digits") for cell in experiment.definition.cells(experiment.options(quick=True))
    }
    assert default == {"digits"}
    assert main([name, "--quick", "--dry-run", "--data", str(path), "--label", "word"]) == 0
    assert "cat → 0, dog → 1, eel → 2" in (err := capsys.readouterr().err) and err.count("\n") == 1
    assert main([name, "--quick", "--dry-run", "--data", str(path), "--label", "wrod"]) == 2
    assert "Did you mean 'word'" in capsys.readouterr().err


def test_another_label_is_another_cell_and_another_file_too(tmp_path):
    """Stored cells of one label given for the other; a file with a label that is not looked into."""
    from experiments.lab.store import Store

    keys = []
    for content, label in ((text(rows()), ""), (text(rows()), "kind"), (text(rows(labels=Y[::-1])), "kind")):
        path = written(tmp_path, content)
        experiment = load("vanishing_gradient")
        cells = experiment.definition.cells(experiment.options(quick=True, data=str(path), label=label))
        keys.append(
            {
                Store(tmp_path, experiment.definition.version).path(cell).name
                for cell in cells
                if "data" in cell.settings
            }
        )
    assert not keys[0] & keys[1] and not keys[1] & keys[2]


def test_an_example_at_the_mean_is_no_fault(monkeypatch):
    """Zero in every feature: scaled to the fixed point it would be NaN."""
    x = np.random.default_rng(0).normal(size=(3, 6))
    x[:, 2] = 0
    monkeypatch.setattr(depth_scale, "first_examples", lambda data, dtype: Batch(x, np.zeros(6, int)))
    found = depth_scale.tanh_slopes(Lab("slopes", {}), sigma_w2=1.3, wide=20, seeds=2, data="", dtype="float64")
    assert np.isfinite(found.measured).all()


@pytest.mark.experiments
def test_a_quick_run_on_files_of_ones_own(tmp_path, monkeypatch):
    """A file that passes the door, and an experiment that fails on it; another result for the same numbers packed."""
    monkeypatch.chdir(tmp_path)
    digits = data._shipped("digits")
    kept = slice(0, 400)
    table = pd.DataFrame(digits.x[:, kept].T / 3).assign(kind=digits.y[kept].astype(int) + 1)
    table.to_csv("mine.csv")
    (tmp_path / "packed").mkdir()
    table.to_csv("packed/mine.csv.gz", sep=";", decimal=",")
    found = []
    for name in ("mine.csv", "packed/mine.csv.gz"):
        status = main(
            ["initialization", "--quick", "--data", name, "--label", "kind", "--out", name + ".out", "--jobs", "1"]
        )
        assert status in (0, 1)  # claims about digits may fail on a quarter of them
        assert (Path(name + ".out") / "report.html").exists()
        found.append((Path(name + ".out") / "tables" / "scaled.csv").read_bytes())
        assert (Path(name + ".out") / "tables" / "failures.csv").read_text() == "cell,reason\n"
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris", "mine.npz", "mine.csv"])
def test_data_is_standardised_by_the_training_part_alone(name, tmp_path, monkeypatch):
    """Mean and deviation of all examples: the test part would have a say in what the network is trained on."""
    monkeypatch.chdir(tmp_path)
    x, y = np.random.default_rng(0).lognormal(2, 1, (3, 50)), np.arange(50) % 3
    np.savez("mine.npz", x=x, y=y)
    np.savetxt("mine.csv", np.vstack([x, y]).T, delimiter=",", header="a,b,c,label")
    found = data.load(name)
    scattered = found.train.x.std(axis=1) > 0  # some pixels of the digits are always white
    np.testing.assert_allclose(found.train.x.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(found.train.x.std(axis=1)[scattered], 1, rtol=1e-12)
    whole = np.hstack([found.train.x, found.test.x])
    assert abs(whole.mean(axis=1)).max() > 1e-3 and abs(whole.std(axis=1)[scattered] - 1).max() > 1e-3
