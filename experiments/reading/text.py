"""Delimited text -> ``Held``: what separates it, whether it has a header, which column is an index, where a value is missing.

The standard library's csv reads it: it knows on which line a record begins. pandas does not, and takes short lines for missing values.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from experiments.reading.held import EXACT, Column, Held, chosen, counts_rows, is_position, is_unnamed, opened
from scratch.errors import InvalidInput
from scratch.layers import Array

LIMIT = 2**28  # bytes, unpacked: the cells take ten times their size
SEPARATORS = (",", ";", "\t", " ")  # the last stands for any number of spaces and tabs
SAMPLE = 100  # lines that are looked at to tell the separator
NUMBER = re.compile(r"[-+]?(\d+(\.\d*|,\d+)?|[.,]\d+)([eE][-+]?\d+)?")
UNKNOWN = ("", "na", "n/a", "#n/a", "nan", "nat", "null", "?")  # of a label in words
MISSING = (*UNKNOWN, "none", "-")  # of a number
COMMENT = re.compile(r"\s*#(?!N/A|VALUE!|REF!|DIV/0!|NUM!|NAME\?|NULL!).*")  # those are cells of Excel's
BEHIND = re.compile(r"([-+\d.,;eE\s]*\d\.?)\s+#.*")  # a comment behind numbers; behind a word it may be part of it
SPREADSHEET = re.compile(r'"?sep=.?"?\s*$')  # a first line that tells a spreadsheet the separator
INFINITE = ("inf", "infinity")


def table(path: Path, label: Column) -> Held:
    """The table in a file. Raises InvalidInput that names the line, counted from 1, and the column."""
    lines = list(io.StringIO(_decoded(path), newline=None))
    lines = [_bare(line) if "#" in line else line for line in lines]
    if SPREADSHEET.match(lines[0] if lines else ""):
        lines[0] = "\n"
    separator = _separator(lines)
    records = list(_records(lines, separator))
    if not records:
        raise InvalidInput("it holds no line of data")
    at, rows = [line for line, _ in records], _filled([cells for _, cells in records])
    width = len(rows[0])
    for line, cells in zip(at, rows, strict=True):
        if len(cells) != width:
            raise InvalidInput(f"line {line} holds {len(cells)} values, line {at[0]} holds {width}")
    if width < 2:
        raise InvalidInput("it holds a single column: expected features and a label, separated by , ; tab or spaces")
    names = rows[0] if _is_header(rows, label, at[0]) else []
    if names:
        at, rows = at[1:], rows[1:]
    if not rows:
        raise InvalidInput("it holds no example: no line after the header")
    return _columns(names, rows, at, label, separator)


def _columns(names: list[str], rows: list[list[str]], at: list[int], label: Column, separator: str) -> Held:
    """Columns of text -> numbers, the label's as numbers or words."""
    held, target = list(zip(*rows, strict=True)), chosen(label, names, len(rows[0]))
    called = [f"column {k + 1}" + (f" ({names[k]!r})" if names else "") for k in range(len(held))]
    features, notes = [k for k in range(len(held)) if k != target], []
    if features[0] == 0 and len(features) > 1 and counts_rows(names, held[0]):
        features, notes = features[1:], [f"{called[0]} numbers the rows: it is left out"]
    comma = separator != "," and any("," in cell for k in features for cell in held[k])

    def place(column: int) -> Callable[[int], str]:
        return lambda row: f"line {at[row]}, {called[column]}"

    x = np.stack([_numbers(held[k], comma, place(k)) for k in features])
    if words := any(_is_text(cell) for cell in held[target]):
        _refuse(held[target], UNKNOWN, place(target))
    y = np.array(held[target]) if words else _numbers(held[target], comma, place(target))
    return Held(x, y, tuple(called[k] for k in features), tuple(notes))


def _decoded(path: Path) -> str:
    """The text of a file, packed or not, of LIMIT bytes at most."""
    with opened(), gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        raw = file.read(LIMIT + 1)
    if len(raw) > LIMIT:
        raise InvalidInput(f"more than {LIMIT} bytes of text: make an .npz of it")
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"line {line} is no UTF-8 text (byte 0x{raw[error.start]:02x}): save it as UTF-8") from None
    if "\0" in text:
        raise InvalidInput(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1} holds a zero byte: it is no text")
    return text


def _bare(line: str) -> str:
    """A line without its comment: it stays a line, so that those below it keep their numbers."""
    behind = BEHIND.fullmatch(line.rstrip("\n"))
    return "\n" if COMMENT.match(line) else f"{behind[1]}\n" if behind else line


def _records(lines: Sequence[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Every record that is not blank, and the line where it begins, counted from 1 as an editor does."""
    given = (" ".join(line.split()) + "\n" for line in lines) if separator == " " else lines
    reader = csv.reader(given, delimiter=separator, skipinitialspace=True, strict=True)
    while True:
        begin = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise InvalidInput(f"line {begin}: {error}") from None
        if any(cells):
            yield begin, cells


def _separator(lines: Sequence[str]) -> str:
    """The one that makes a table of the first lines, with the most numbers in it."""
    sample = [line for line in lines if line.strip()][:SAMPLE]
    return max(SEPARATORS, key=lambda separator: _fits(sample, separator))


def _fits(sample: Sequence[str], separator: str) -> float:
    """The share of numbers among the cells of the usual width; less than none where that is a single column."""
    found: list[list[str]] = []
    with suppress(InvalidInput):  # the sample may end inside of quotes
        found.extend(cells for _, cells in _records(sample, separator))
    if not found or (width := Counter(map(len, found)).most_common(1)[0][0]) < 2:
        return -1.0
    cells = [cell for record in found if len(record) == width for cell in record]
    return sum(NUMBER.fullmatch(cell) is not None for cell in cells) / len(cells)


def _filled(rows: list[list[str]]) -> list[list[str]]:
    """Without the empty last columns that a separator at the end of a line makes; a header as wide as its rows.

    R writes a column of row names and no name for it.
    """
    if len(rows) > 1 and {len(cells) for cells in rows[1:]} == {len(rows[0]) + 1}:
        rows = [[*rows[0], ""] if not any(cells[-1] for cells in rows[1:]) else ["", *rows[0]], *rows[1:]]
    while len(rows[0]) > 1 and all(cells and not cells[-1] for cells in rows) and len({*map(len, rows)}) == 1:
        rows = [cells[:-1] for cells in rows]
    return rows


def _is_header(rows: list[list[str]], label: Column, line: int) -> bool:
    """Whether the first record names the columns. Raises InvalidInput where it may as well be an example, or is neither."""
    first, width = rows[0], len(rows[0])
    if isinstance(label, str) and not is_position(label):
        return True
    target = chosen(label, first if isinstance(label, str) and int(label) > width else [], width)
    if _is_text(first[target]) and len(rows) > 1 and not any(_is_text(cells[target]) for cells in rows[1:]):
        return True
    unnamed = is_unnamed(first[0]) and target > 0
    features = [cell for k, cell in enumerate(first) if k != target][unnamed:]
    numbers = [cell for cell in features if NUMBER.fullmatch(cell)]
    texts = [cell for cell in features if _is_text(cell)]
    if texts and numbers:
        raise InvalidInput(f"line {line} is no header (it holds {numbers[0]!r}) and no example (it holds {texts[0]!r})")
    at = target - unnamed
    if features in ([str(k) for k in range(len(features))], [str(k) for k in range(len(features) + 1) if k != at]):
        # so pandas writes columns without names
        if unnamed or _is_text(first[target]):
            return unnamed or all(first[target] != cells[target] for cells in rows[1:])
        if first[target] == str(at):
            raise InvalidInput(f"line {line} may number the columns, or be an example: give the columns names")
    return bool(texts)


def _is_text(cell: str) -> bool:
    """Neither a number nor a missing one."""
    return not NUMBER.fullmatch(cell) and cell.lower() not in MISSING and cell.lower().lstrip("+-") not in INFINITE


def _numbers(cells: Sequence[str], comma: bool, place: Callable[[int], str]) -> Array:
    """A column in float64. Raises InvalidInput at the first cell that is no number, or no finite one."""
    _refuse(cells, MISSING, place)
    for row, cell in enumerate(cells):
        if not NUMBER.fullmatch(cell) or ("," in cell and not comma) or ("." in cell and comma):
            mixed = " beside numbers with a decimal comma" if comma and "." in cell else ""
            finite = "must be finite" if cell.lower().lstrip("+-") in INFINITE else "is no number"
            raise InvalidInput(f"{place(row)}: {cell[:40]!r} {finite}{mixed}")
    found = np.array([cell.replace(",", ".") for cell in cells], dtype=np.float64)
    for row in np.flatnonzero(np.abs(found) >= EXACT).tolist():
        if not np.isfinite(found[row]):
            raise InvalidInput(f"{place(row)}: {cells[row][:40]!r} must be finite")
        if cells[row].lstrip("+-").isdecimal() and int(cells[row]) != int(found[row]):
            raise InvalidInput(f"{place(row)}: float64 rounds {cells[row][:40]}. Leave ids out, or subtract an offset")
    return found


def _refuse(cells: Sequence[str], missing: Sequence[str], place: Callable[[int], str]) -> None:
    found = [row for row, cell in enumerate(cells) if cell.lower() in missing]
    if found:
        raise InvalidInput(f"{place(found[0])}: the value is missing ({len(found)} in this column)")
