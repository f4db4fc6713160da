"""What all studies found, taken together: `/v1/records`, their rows, and `/v1/contrasts`."""

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, StreamingResponse

from api.examples import CONTRAST, RECORD, example
from api.problems import responses
from api.routes.jobs import Opened
from beholder.jobs.contrast_queries import contrasts
from beholder.jobs.queries import get_job
from beholder.jobs.record_document import record_document
from beholder.jobs.record_export import export_rows
from beholder.layers import LAYERS
from beholder.networks import check_channels_of
from beholder.protocol import LINES

router = APIRouter(prefix="/v1", tags=["studies"])
_BATCH = 500  # rows sent together

Network = Annotated[
    str | None,
    Query(max_length=200, description="A name, or the beginning of its weights' hash."),
]
Study = Annotated[str | None, Query(max_length=500, description="In this study alone.")]
_Index = Annotated[int, Query(ge=0, lt=len(LAYERS))]
_Number = Annotated[int, Query(ge=0, le=511)]
Layers = Annotated[list[_Index] | None, Query(max_length=len(LAYERS), description="ReLU layers.")]
Channels = Annotated[list[_Number] | None, Query(max_length=512)]
Label = Annotated[str, Query(max_length=200)]


@router.get(
    "/records",
    summary="One channel's record over all studies, on any network",
    responses={
        200: example({"layer": 35, "layer_name": "relu5_4", "channel": 137, "records": [RECORD]}),
        **responses(404),
    },
)
def records(
    opened: Opened,
    layer: Annotated[int, Query(ge=0, lt=len(LAYERS), examples=[35])],
    channel: Annotated[int, Query(ge=0, le=511, examples=[137])],
    network: Network = None,
) -> JSONResponse:
    """As `/v1/channels/{network}/{layer}/{channel}`, where the network may be left out."""
    check_channels_of(network, LAYERS[layer], [channel])
    asked = {"layer": layer, "channel": channel}
    return JSONResponse(record_document(opened.db, **asked, network=network))


@router.get(
    "/records/rows",
    response_class=StreamingResponse,
    summary="All that records are made of, a row a line",
    responses={
        200: {
            "description": "JSON documents, one a line; `{}` after the last",
            "content": {LINES: {"schema": {"type": "string"}}},
        },
        **responses(404),
    },
)
def rows(
    opened: Opened,
    study: Study = None,
    network: Network = None,
    layer: Layers = None,
    channel: Channels = None,
    chosen: Annotated[bool, Query(description="Only what its study ablated.")] = False,
) -> StreamingResponse:
    """A channel of a ReLU layer over one class of one study, the newest study first."""
    found = export_rows(
        opened.db,
        study=_study(opened, study),
        network=network,
        layers=layer,
        channels=channel,
        chosen=chosen,
    )
    return StreamingResponse(_lines(found), media_type=LINES)


@router.get(
    "/contrasts",
    summary="Channels for some classes and not for others",
    responses={200: example(CONTRAST), **responses(404)},
)
def contrast(
    opened: Opened,
    wanted: Annotated[list[Label], Query(alias="for", min_length=1, max_length=20)],
    others: Annotated[list[Label] | None, Query(alias="not_for", max_length=20)] = None,
    study: Study = None,
    network: Network = None,
    layer: Layers = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 20,
) -> JSONResponse:
    """Stronger for every class `for` than for any `not_for` (all others, where none is named).

    By the least difference of mean strengths, in pooled deviations.
    """
    found = contrasts(
        opened.db,
        wanted,
        others or (),
        network=network,
        study=_study(opened, study),
        layers=layer,
        limit=limit,
    )
    return JSONResponse(found.row())


def _study(opened: Opened, study: str | None) -> str | None:
    return None if study is None else get_job(opened.db, study).id


def _lines(found: Iterator[dict[str, object]]) -> Iterator[str]:
    together: list[str] = []
    for row in found:
        together.append(json.dumps(row, ensure_ascii=False) + "\n")
        if len(together) == _BATCH:
            yield "".join(together)
            together.clear()
    yield "".join(together) + "{}\n"
