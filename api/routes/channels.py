"""`/v1/channels`, one channel's records, and `/v1/studies/{id}/verdicts`: what studies found."""

from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from api.examples import CHANNEL, RECORD, VERDICT, example
from api.problems import responses
from api.routes.jobs import Job, Opened
from beholder.errors import InvalidInput
from beholder.jobs.channel_queries import Sort, channels, place_of
from beholder.jobs.database import Database
from beholder.jobs.queries import get_job, items
from beholder.jobs.record_document import record_document
from beholder.jobs.verdicts import Summary, chosen_by_layer, summary_of
from beholder.jobs.views import JobView, verdict_rows
from beholder.layers import LAYERS, check_channels, find_layer
from beholder.networks import check_channels_of

router = APIRouter(prefix="/v1", tags=["studies"])
SORTS: dict[str, Sort] = {"count": "count", "contrast": "contrast", "strength": "mean"}
MAX_CHANNELS = 5_000
Sorted = Literal["layer", "count", "contrast", "strength"]


@router.get(
    "/channels",
    summary="Channels of a study, or one channel in every study",
    responses={200: example({"channels": [CHANNEL], "next": None}), **responses(404)},
)
def list_channels(
    opened: Opened,
    study: Annotated[str | None, Query(max_length=16, pattern="^[0-9a-z]*$")] = None,
    layer: Annotated[
        str | None, Query(max_length=20, description="Index or name.", examples=["relu5_4"])
    ] = None,
    channel: Annotated[int | None, Query(ge=0, le=511)] = None,
    chosen: Annotated[bool | None, Query(description="Only those that were blinded.")] = None,
    top: Annotated[int | None, Query(ge=1, le=512, description="Of each layer and study.")] = None,
    sort: Annotated[
        Sorted, Query(description="contrast: how much stronger for targets than for controls.")
    ] = "layer",
    after: Annotated[
        str | None, Query(max_length=40, description="`next` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_CHANNELS)] = 500,
) -> JSONResponse:
    """Name a study or a layer. `sort=layer` keeps layers together, ranked by count, and is the one
    sort whose list goes on: `next` is what to give as `after`, or null.

    strength sorts by the mean L2 norm of the channel's map over the targets.
    """
    index = None if layer is None else find_layer(layer).index
    if index is not None and channel is not None:
        check_channels(LAYERS[index], [channel])
    found = list(
        channels(
            opened.db,
            study=_study(opened.db, study) if study else None,
            layer=index,
            channel=channel,
            top=top,
            chosen=chosen,
            sort=SORTS.get(sort, "layer"),
            after=after,
            limit=limit + 1,
        )
    )
    more = place_of(found[limit - 1]) if len(found) > limit and sort == "layer" else None
    return JSONResponse({"channels": [row.row() for row in found[:limit]], "next": more})


@router.get(
    "/channels/{network}/{layer}/{channel}",
    summary="One channel's record over all studies",
    responses={
        200: example({"layer": 35, "layer_name": "relu5_4", "channel": 137, "records": [RECORD]}),
        **responses(404),
    },
)
def channel_record(
    opened: Opened,
    network: Annotated[
        str, Path(max_length=200, description="A name, or the beginning of its weights' hash.")
    ],
    layer: Annotated[str, Path(max_length=20, description="Index or name.")],
    channel: Annotated[int, Path(ge=0, le=511)],
) -> JSONResponse:
    """Strengths by class, flags, effects, pictures; a record for each kind of input, newest first.

    A convolution is read after its ReLU, so the answer is the ReLU's; a pool has none.
    """
    found = find_layer(layer)
    check_channels_of(network, found, [channel])
    return JSONResponse(
        record_document(opened.db, layer=found.index, channel=channel, network=network)
    )


def _study(db: Database, study: str) -> str:
    return _insist(get_job(db, study)).id


def _insist(job: JobView) -> JobView:
    if job.kind != "study":
        raise InvalidInput(f"job {job.id} is a dream: GET /v1/jobs?kind=study lists studies.")
    return job


@router.get(
    "/studies/{job_id}/verdicts",
    summary="A study's verdicts, intact and blinded",
    responses={
        200: example(
            {
                "summary": Summary(5, 0, 5, 5).row(),
                "chosen": [{"layer": 35, "layer_name": "relu5_4", "channels": [137, 4]}],
                "verdicts": [VERDICT],
                "next": None,
            }
        ),
        **responses(404),
    },
)
def study_verdicts(
    found: Job,
    opened: Opened,
    kind: Literal["intact", "blinded"] | None = None,
    after: Annotated[
        int, Query(ge=-1, le=2**31 - 1, description="`next` of the page before.")
    ] = -1,
    limit: Annotated[int, Query(ge=1, le=500, description="Pictures on a page.")] = 100,
) -> JSONResponse:
    """By picture, the targets first. The first page has the summary and the blinded channels."""
    study = _insist(found)
    page = list(islice(items(opened.db, study.id, after=after, limit=limit + 1), limit + 1))
    shown = page[:limit]
    document: dict[str, Any] = {}
    if after < 0:
        document["summary"] = summary_of(opened.db, study.id).row()
        document["chosen"] = chosen_by_layer(opened.db, study.id)
    rows = [view.row() for item in shown for view in verdict_rows(item, kind)]
    more = shown[-1].position if len(page) > limit else None
    return JSONResponse({**document, "verdicts": rows, "next": more})
