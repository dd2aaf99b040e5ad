"""Writes docs/; what else lies there stays as it is."""

from __future__ import annotations

import sys

from experiments.documentation.pages import documents
from experiments.store import ROOT, clean, write
from scratch.errors import InvalidInput

DOCS = ROOT / "docs"


def main() -> int:
    clean(DOCS)
    try:
        for name, text in documents().items():
            write(DOCS / name, text)
            print(DOCS / name)
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
