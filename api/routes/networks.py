"""`/v1/layers` and `/v1/networks`: what there is to look into."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.examples import LAYER, NETWORK, example
from api.routes.jobs import Opened
from beholder.catalogue import layer_rows, network_rows
from beholder.networks import check_network, width_divisor

router = APIRouter(prefix="/v1", tags=["networks"])


@router.get(
    "/layers",
    summary="The 37 layers of a network",
    responses={200: example({"layers": [LAYER]})},
)
def layers(
    network: Annotated[str, Query(max_length=100, examples=["specimens"])] = "vgg19",
) -> JSONResponse:
    """Stride and receptive field are in input pixels."""
    return JSONResponse({"layers": layer_rows(width_divisor(check_network(network)) or 1)})


@router.get(
    "/networks",
    summary="The networks, and whether their weights are on this server",
    responses={200: example({"networks": [NETWORK]})},
)
def networks(opened: Opened) -> JSONResponse:
    """`default` marks the one that a job has whose spec names none."""
    return JSONResponse({"networks": network_rows(opened.settings)})
