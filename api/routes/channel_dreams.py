"""`/v1/channels/dreams`: dreams of a layer's channels, queued where there is none, and found."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api.examples import CHANNEL_DREAM, FEATURES, example
from api.problems import responses
from api.queueing import wake_workers
from api.routes.jobs import Opened
from api.schemas import Name, build_spec
from beholder.errors import InvalidInput
from beholder.jobs.channel_dreams import newest_dreams
from beholder.jobs.features import queue_channels
from beholder.layers import LAYERS
from beholder.networks import check_channels_of
from beholder.priorities import Priority
from beholder.recipes import DreamRecipe
from beholder.specs import DreamSpec

router = APIRouter(prefix="/v1/channels", tags=["studies"])
_WIDEST = max(layer.channels for layer in LAYERS)
_Layer = Annotated[int, Field(ge=0, lt=len(LAYERS))]
_Channel = Annotated[int, Field(ge=0, lt=_WIDEST)]


class NewChannelDreams(BaseModel):
    """Dreams of which of a layer's channels. spec: how, from noise; as `DreamSpec`."""

    model_config = ConfigDict(extra="forbid")

    layer: _Layer
    channels: Annotated[list[_Channel], Field(min_length=1, max_length=_WIDEST)]
    spec: dict[str, Any] = {}
    name: Name = ""
    priority: Priority = "low"


@router.post(
    "/dreams",
    status_code=201,
    summary="Queue dreams of a layer's channels",
    responses={201: example(FEATURES), **responses(507)},
)
def queue(asked: NewChannelDreams, opened: Opened, tasks: BackgroundTasks) -> JSONResponse:
    """A job a channel. Those that have a dream of the recipe, or wait for one, are left out.

    `spec` says neither layers nor channels; a `noise` of 1 is its default.
    """
    spec = _spec(asked, opened.settings.network)
    check_channels_of(spec.network, LAYERS[asked.layer], asked.channels)
    places = [(asked.layer, channel) for channel in dict.fromkeys(asked.channels)]
    made = queue_channels(opened.db, places, spec, name=asked.name, priority=asked.priority)
    if made.queued:
        tasks.add_task(wake_workers, opened)
    return JSONResponse(made.row(), 201, background=tasks)


@router.get(
    "/dreams",
    summary="The newest finished dream from noise of each of a layer's channels",
    responses={200: example({"dreams": [CHANNEL_DREAM]})},
)
def find(
    opened: Opened,
    layer: Annotated[int, Query(ge=0, lt=len(LAYERS), examples=[28])],
    network: Annotated[
        str | None,
        Query(
            max_length=200,
            description="A name, or the beginning of its weights' hash. Default: the server's own.",
        ),
    ] = None,
    recipe: Annotated[DreamRecipe | None, Query(description="Of this recipe alone.")] = None,
) -> JSONResponse:
    """Channels without one are left out. `file` is at `/v1/jobs/{job}/items/{position}/pictures`,
    by its step.
    """
    places = [(layer, channel) for channel in range(LAYERS[layer].channels)]
    named = opened.settings.network if network is None else network
    found = newest_dreams(opened.db, named, places, recipe)
    rows = [
        {"channel": channel, "job": one.job_id, "position": one.position, "file": asdict(one.file)}
        for (_, channel), one in sorted(found.items())
    ]
    return JSONResponse({"dreams": rows})


def _spec(asked: NewChannelDreams, network: str) -> DreamSpec:
    if named := [name for name in ("layers", "channels", "objective") if name in asked.spec]:
        raise InvalidInput(f"spec: `layer` and `channels` say of what; leave {named[0]} out.")
    spec = build_spec("dream", {"noise": 1, **asked.spec}, network=network)
    assert isinstance(spec, DreamSpec)
    if spec.noise != 1 or spec.zoom is not None:  # one request may be of hundreds of channels
        raise InvalidInput(
            "spec: channels are dreamt from noise, each once; leave noise, zoom and frames out."
        )
    return spec
