"""Writes docs/; what else lies there stays as it is."""

from __future__ import annotations

from experiments.command import begin

if __name__ == "__main__":
    begin("experiments.documentation.__main__")


from experiments.documentation.pages import documents
from experiments.lab.store import ROOT, clean, write
from scratch.command import answer

DOCS = ROOT / "docs"


def main() -> int:
    def work() -> None:
        clean(DOCS)
        for name, text in documents().items():
            write(DOCS / name, text)
            print(DOCS / name)

    return answer(work)
