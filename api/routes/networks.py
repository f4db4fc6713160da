"""`/v1/layers`, `/v1/networks` and `/v1/recipes`: what there is to look into, and how."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from api.examples import LAYER, NETWORK, RECIPE, example
from api.routes.jobs import Opened
from beholder.catalogue import layer_rows, network_rows, recipe_rows
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


@router.get(
    "/recipes",
    summary="The recipes of dreams",
    responses={200: example({"recipes": [RECIPE]})},
)
def recipes() -> JSONResponse:
    """`defaults` are the fields of a dream's spec that differ from the article's."""
    return JSONResponse({"recipes": recipe_rows()})
