"""How a command ends: whatever stops it is said in one line on standard error, and has an exit status of its own.

0   done, and every claim holds      70  a fault of the program
1   a claim fails; nothing else      74  something cannot be read or written, standard output among it
2   bad input                        128 + n  ended by signal n: 130 Ctrl-C, 143 SIGTERM, 129 a terminal that hung up
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from scratch.errors import InvalidInput

FAULT, UNWRITABLE = 70, 74  # EX_SOFTWARE and EX_IOERR of sysexits.h
NARROWEST = 40  # columns of a terminal; in fewer, what lays out --help may never come to an end
SIGNALS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}

_heard: list[int] = []  # signals that asked this process to end


class _Stopped(KeyboardInterrupt):
    """A signal asked the program to end: Ctrl-C's own exception, so that one ``except`` answers all of them."""


def run(main: Callable[[], int | None]) -> NoReturn:
    """Runs ``main`` as this process's command and exits with its status; sets up streams and signals for that."""
    _fill_closed_descriptors()
    out, err = (_Outlet(number, held) for number, held in ((1, sys.stdout), (2, sys.stderr)))
    sys.stdout, sys.stderr = out, err
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)
    on_signals(_stop)
    try:
        status = answer(main)
    except SystemExit as stop:  # --help, which has been answered
        status = stop.code if isinstance(stop.code, int) else 0
    on_signals(signal.SIG_DFL)  # what is left is a matter of milliseconds, and has nothing to say
    out.flush()
    if out.lost is not None and not isinstance(out.lost, BrokenPipeError):  # a reader that has had enough is no error
        status = max(status, _say(f"error: standard output cannot be written: {out.lost.strerror}", UNWRITABLE))
    err.flush()
    sys.exit(status)


def answer(work: Callable[[], int | None], interrupted: str = "") -> int:
    """The status that ``work`` returns (None: 0), or that of what stopped it; ``interrupted`` goes with that word."""
    try:
        status = work() or 0
    except InvalidInput as error:
        return _say(f"error: {error}", 2)
    except KeyboardInterrupt as stop:
        return _stopped(stop.args[0] if isinstance(stop, _Stopped) else signal.SIGINT, interrupted)
    except Exception as error:
        if _heard:  # an import that is interrupted may raise anything
            return _stopped(_heard[0], interrupted)
        if isinstance(error, OSError):
            return _say(f"error: {error}", UNWRITABLE)
        if isinstance(error, MemoryError):
            return _say("error: out of memory: ask for less, or for fewer processes", FAULT)
        traceback.print_exc()
        return _say("error: this is a fault of the program, not of its input: please report the lines above", FAULT)
    return _stopped(_heard[0], interrupted) if _heard else status


def on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    """Sets the handler of every signal that asks a process to end, except those it was started to ignore, as by nohup."""
    for name in SIGNALS:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    if _heard:  # asked twice: without waiting for anything
        os._exit(128 + number)
    _heard.append(number)
    raise _Stopped(number)


def _stopped(number: int, more: str) -> int:
    _heard.clear()  # it has been answered
    word = SIGNALS[signal.Signals(number).name]
    return _say(f"{word}: {more}" if more else word, 128 + number)


def _say(line: str, status: int) -> int:
    print(line, file=sys.stderr)
    return status


class _Outlet(io.TextIOWrapper):
    """Standard output or error. What a terminal has no letters for is escaped; when it cannot be written any more, what
    follows goes nowhere, the work goes on, and ``lost`` says why."""

    def __init__(self, number: int, held: object) -> None:
        self.lost: OSError | None = None
        self.number = number
        held = held if isinstance(held, io.TextIOWrapper) else None  # None where the stream was closed
        super().__init__(
            io.BufferedWriter(io.FileIO(number, "w", closefd=False)),
            encoding=held.encoding if held else "utf-8",
            errors="backslashreplace",
            line_buffering=number == 2 or os.isatty(number),
            write_through=held is not None and held.write_through,
        )

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.lost = error if self.lost is None else self.lost
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.number)
        os.close(nowhere)


def _fill_closed_descriptors() -> None:
    """Opens the null device where a standard stream was closed: the next file would get its number, and what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one
