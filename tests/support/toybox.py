"""Puts the toy experiment into the catalog, here and as ``python tests/support/toybox.py``; workers have the catalog of their parent."""

from __future__ import annotations

from pathlib import Path

from experiments import catalog

TESTS = Path(__file__).resolve().parents[1]
CATALOG = str(TESTS / "toy")
if CATALOG not in catalog.__path__:
    catalog.__path__.append(CATALOG)


class Toy:
    """What a test asks of the toy: faults that it is to have, and how often it measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def plan(self, fault: str, number: int) -> Path:
        """From now on the cell of that number has that fault; see toy.trouble."""
        (path := self.folder / f"{fault}-{number}").touch()
        return path

    def calls(self) -> list[int]:
        """The numbers measured since this was last asked, in ascending order."""
        path = self.folder / "calls"
        found = sorted(map(int, path.read_text().split())) if path.exists() else []
        path.unlink(missing_ok=True)
        return found


def listing(folder: Path, *without: str) -> dict[str, bytes]:
    """Every file below the folder with its bytes; times are left out, as are paths that begin with one of ``without``."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "timings.json")
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(without)}


if __name__ == "__main__":
    from experiments.command import begin

    begin("experiments.run")
