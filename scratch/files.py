"""Files that somebody else wrote: looked at before they are read, so that none of them hangs, fills the memory, or is no file at all."""

from __future__ import annotations

import io
import stat
import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from scratch.errors import InvalidInput

ROOM, GROWTH = 2**26, 32  # what an archive may hold inflated: so many bytes, and so many times its own size


def check_file(path: Path) -> None:
    """Raises InvalidInput unless it is a regular file that can be read: no folder, pipe or device, which might never end."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except FileNotFoundError:
        raise InvalidInput(f"{_shown(path)}: there is no such file") from None
    except (OSError, ValueError) as error:  # no leave, a name too long, or one that no system takes
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(f"{_shown(path)}: cannot be read: {reason}") from None
    if not stat.S_ISREG(mode):
        raise InvalidInput(
            f"{_shown(path)}: expected a file, got {'a folder' if stat.S_ISDIR(mode) else 'a pipe or a device'}"
        )


def check_npz(source: Path | bytes, limit: int | None = None) -> None:
    """Raises InvalidInput unless it is a zip of .npy arrays, each as long as its header says, of ``limit`` bytes together.

    Nothing but the headers is inflated. Without ``limit`` it is 64 MiB and 32 times the archive, which numbers never need.
    The message names the array, not the file.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    limit = ROOM + GROWTH * size if limit is None else limit
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            names = [member.filename for member in members]
            if len(set(names)) != len(names):
                raise InvalidInput(f"it names something twice: {sorted(names)[:9]}")
            if total > limit:
                raise InvalidInput(f"it is {size} bytes and would inflate to {total}: expected at most {limit}")
            for member in members:
                with archive.open(member) as file:
                    _check_array(member.filename, member.file_size, file)
    except zipfile.BadZipFile as error:
        raise InvalidInput(f"it is no npz file: {error}") from None
    except InvalidInput:
        raise
    except Exception as error:  # zipfile and zlib raise anything: a password, a method that is not known
        raise InvalidInput(f"it is no npz file: {' '.join(str(error).split())}") from None


def _check_array(name: str, size: int, file: IO[bytes]) -> None:
    try:
        version = np.lib.format.read_magic(file)
        read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        header = file.tell()
    except ValueError as error:
        raise InvalidInput(f"{name} is no .npy array: {' '.join(str(error).split())}") from None
    if dtype.hasobject:
        return  # its size is not known, but it is never opened (allow_pickle=False)
    expected = header + prod(shape) * dtype.itemsize
    if size != expected:
        raise InvalidInput(f"{name}: {dtype} {shape} takes {expected} bytes, but the archive holds {size}")


def _shown(path: Path) -> str:
    text = str(path).encode("utf-8", "replace").decode()
    return text if len(text) <= 200 and text.isprintable() else f"{ascii(text)[1:100]}…"
