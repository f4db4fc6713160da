"""`python -m benchmarks.reliability [FILE ...]`: docs/reliability.md's tables, from `make faults`.

Without files, those of benchmarks/results/faults, the newest first; what a newer one has of a fault
takes the place of what older ones have. The page's own words stay.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Document, row_of, table
from benchmarks.report import ROOT, about, inserted, markdown

PAGE = ROOT / "docs" / "reliability.md"
RESULTS = ROOT / "benchmarks" / "results" / "faults"


def rendered(found: Document) -> str:
    """The machine in a line, and a table with a row for each figure, after its fault."""
    head, *body = table([row_of(fields) for fields in found["rows"]])
    faults = [str(fields["benchmark"]) for fields in found["rows"]]
    named = [
        [fault if fault not in faults[:number] else "", *cells]
        for number, (fault, cells) in enumerate(zip(faults, body, strict=True))
    ]
    return f"{about(found)}\n\n{markdown([['fault', *head], *named])}"


def newest(documents: Sequence[Document]) -> list[Document]:
    """The newest first, each without the faults that a newer one has."""
    seen: set[str] = set()
    kept: list[Document] = []
    for found in sorted(documents, key=lambda one: one["when"], reverse=True):
        rows = [fields for fields in found["rows"] if str(fields["benchmark"]) not in seen]
        seen |= {str(fields["benchmark"]) for fields in rows}
        if rows:
            kept.append({**found, "rows": rows})
    return kept


def main(files: Sequence[str]) -> None:
    """Write the page's tables anew."""
    paths = [Path(file) for file in files] or sorted(RESULTS.glob("*.json"))
    documents = newest([json.loads(path.read_text(encoding="utf-8")) for path in paths])
    figures = "\n\n".join(map(rendered, documents))
    PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {sum(len(found['rows']) for found in documents)} figures.")


if __name__ == "__main__":
    main(sys.argv[1:])
