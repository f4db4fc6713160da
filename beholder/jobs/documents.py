"""results.json, the same from the command line and over HTTP: its head, and a row an item."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from beholder import __version__
from beholder.jobs.verdicts import Summary
from beholder.jobs.views import ItemView, JobView
from beholder.layers import LAYERS
from beholder.names import noise_stem, safe_stem

FORMAT = 1
RESULTS = "results.json"


def results_document(head: Mapping[str, Any], rows: Iterable[str]) -> Iterator[str]:
    """The document in pieces, so that any number of items can be written. rows: each in JSON."""
    text = json.dumps(head, indent=2, ensure_ascii=False)
    yield text.removesuffix("\n}") + ',\n  "items": [\n'
    comma = ""
    for row in rows:
        yield f"{comma}    {row}"
        comma = ",\n"
    yield "\n  ]\n}\n"


def results_head(
    job: JobView,
    *,
    summary: Summary | None = None,
    chosen: list[dict[str, Any]] | None = None,
    conclusion: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """All but the items. summary, chosen: a study's. conclusion: a sound one's."""
    row = job.row()
    spec, network, sha256 = (row.pop(name) for name in ("spec", "network", "network_sha256"))
    head: dict[str, Any] = {
        "format": FORMAT,
        "beholder": __version__,
        "job": row,  # first, so that the job's id is near the beginning of the file
        "spec": spec,
        "network": {"name": network, "sha256": sha256},
    }
    if summary is not None:
        head["summary"] = summary.row()
        head["chosen"] = chosen
    if conclusion is not None:
        head["conclusion"] = conclusion
    return head


def result_row(
    item: ItemView, picture: str, error: str | None, files: Mapping[int, str]
) -> dict[str, Any]:
    """An item's entry. picture: its name; files: its files' names by step, those that are there."""
    row: dict[str, Any] = {
        "position": item.position,
        "picture": picture,
        "source": item.source,
        "picture_sha256": item.picture_sha256,
        "state": item.state,
        "error": error,
    }
    return {**row, **(_dream_part(item, files) if item.role is None else _study_part(item))}


def _study_part(item: ItemView) -> dict[str, Any]:
    verdicts = {kind: vars(verdict) for kind, verdict in item.verdicts.items()}
    return {"role": item.role, "group": item.group, "verdicts": verdicts}


def _dream_part(item: ItemView, files: Mapping[int, str]) -> dict[str, Any]:
    layer = item.layer or 0
    return {
        "seed": item.seed,
        "layer": layer,
        "layer_name": LAYERS[layer].name,
        "files": [
            {
                "file": files[file.step],
                "step": file.step,
                "sha256": file.sha256,
                "width": file.width,
                "height": file.height,
            }
            for file in item.files
            if file.step in files
        ],
        "objective": (item.result or {}).get("objective"),
        "precision": (item.result or {}).get("precision"),
        "silent": item.silent,
    }


def error_of(item: ItemView, *, lost: int, damaged: int) -> str | None:
    """What went wrong with an item. lost, damaged: how many of its files are, in the store."""
    if lost:
        return f"{lost} of its files are gone from the store: submit it again."
    if damaged:
        return f"{damaged} of its files are damaged in the store: run `beholder verify --mend`."
    return item.error


def picture_stem(item: ItemView) -> str:
    """What an item's files are called after."""
    return safe_stem(item.source) if item.seed is None else noise_stem(item.seed)
