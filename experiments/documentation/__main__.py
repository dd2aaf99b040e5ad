"""Writes docs/; what else lies there stays as it is."""

from __future__ import annotations

from experiments.command import begin

if __name__ == "__main__":
    begin("experiments.documentation.__main__")

from pathlib import Path

from experiments.documentation.pages import documents

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main() -> None:
    for name, text in documents().items():
        path = DOCS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(path)
