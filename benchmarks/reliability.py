"""`python -m benchmarks.reliability [FILE]`: the table of docs/reliability.md, from `make faults`.

The page's own words stay: only what is between the two marks is written.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Document, row_of, table
from benchmarks.report import ROOT, about, inserted, markdown

PAGE = ROOT / "docs" / "reliability.md"
FIGURES = ROOT / "benchmarks" / "results" / "faults" / "cpu.json"


def rendered(found: Document) -> str:
    """The machine in a line, and a table with a row for each figure, after its fault."""
    head, *body = table([row_of(fields) for fields in found["rows"]])
    faults = [str(fields["benchmark"]) for fields in found["rows"]]
    named = [
        [fault if fault not in faults[:number] else "", *cells]
        for number, (fault, cells) in enumerate(zip(faults, body, strict=True))
    ]
    return f"{about(found)}\n\n{markdown([['fault', *head], *named])}"


def main(files: Sequence[str]) -> None:
    """Write the page's table anew."""
    file = Path(files[0]) if files else FIGURES
    found = json.loads(file.read_text(encoding="utf-8"))
    page = inserted(PAGE.read_text(encoding="utf-8"), rendered(found))
    PAGE.write_text(page, encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(found['rows'])} figures.")


if __name__ == "__main__":
    main(sys.argv[1:])
