"""`python -m benchmarks.report FILE ...`: the tables of docs/performance.md, from `--json` files.

The files are those of `benchmarks/results/`, each of a machine or of one of its benchmarks; all of
them without arguments. The page's own words stay: only what is between the two marks is written.
"""

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.harness import Document, row_of, table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def rendered(documents: Sequence[Document]) -> str:
    """A section for each document: its machine, versions and time, and a table a benchmark."""
    return "\n\n".join(_section(found) for found in documents)


def inserted(page: str, figures: str) -> str:
    """`page` with `figures` between its marks. Raises ValueError when it lacks them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} ... {END} to write between.")
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"


def about(found: Document) -> str:
    """A heading that names the machine, then its memory, the versions and the time."""
    machine, versions = found["machine"], found["versions"]
    cpu = f"{machine['cpu']} ({machine['instructions']}), {machine['cores']} cores"
    memory = f"{machine['memory_gib']} GiB, load {machine['load']}"
    gpu = machine.get("gpu")
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    beside = f"Beside it {cpu}, {memory}" if gpu else memory
    return f"### {gpu or cpu}\n\n{beside}. {listed}. Measured {found['when']}."


def _section(found: Document) -> str:
    parts = [about(found)]
    for benchmark, rows in groupby(found["rows"], key=lambda fields: str(fields["benchmark"])):
        parts += [f"**{benchmark}**", markdown(table([row_of(fields) for fields in rows]))]
    return "\n\n".join(parts)


def markdown(cells: list[list[str]]) -> str:
    """A table, heading first; the last columns are those of `harness.table`."""
    head, *body = ([cell.replace("|", "\\|") for cell in line] for line in cells)
    rule = ["---"] * (len(head) - 4) + ["---:", "---:", "---", "---"]
    lines = [head, rule, *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(files: Sequence[str]) -> None:
    """Write the page's figures anew."""
    paths = [Path(file) for file in files] or sorted(RESULTS.glob("*.json"))
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    PAGE.write_text(
        inserted(PAGE.read_text(encoding="utf-8"), rendered(documents)), encoding="utf-8"
    )
    print(f"{PAGE.relative_to(ROOT)}: {sum(len(found['rows']) for found in documents)} figures.")


if __name__ == "__main__":
    main(sys.argv[1:])
