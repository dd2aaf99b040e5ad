"""What is asked of a file before it is opened: that it is one, and that what is packed in it fits."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

from scratch.errors import InvalidInput


def check_file(path: Path) -> None:
    """Raises InvalidInput, at once, unless ``path`` is a regular file that can be read: a pipe or a device may never end."""
    shown = repr(str(path))[1:-1]  # a name may hold a line break
    shown = shown if len(shown) <= 250 else f"{shown[:60]}… ({len(shown)} characters)"
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise InvalidInput(f"{shown}: there is no such file") from None
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a zero byte
        raise InvalidInput(f"{shown}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(mode):
        raise InvalidInput(
            f"{shown}: expected a file, got {'a folder' if stat.S_ISDIR(mode) else 'a pipe or a device'}"
        )
    if not os.access(path, os.R_OK):
        raise InvalidInput(f"{shown}: cannot be read: permission denied")


def check_npz(path: Path, limit: int) -> None:
    """Raises InvalidInput unless ``path`` is a zip archive that says it unpacks to at most ``limit`` bytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{path}: is no .npz archive: {' '.join(str(error).split())}") from None
    if size > limit:
        raise InvalidInput(f"{path}: would unpack to {size} bytes, more than the {limit} that are allowed")
