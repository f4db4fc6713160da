"""Channels at stable addresses: /channels/{network}/{layer}/{channel}, and the way there."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from api import page_links as links
from api.page_charts import strip
from api.page_render import PageRoute, render, see_other
from api.queueing import wake_workers
from api.services import Services, services
from beholder.errors import InvalidSpec, NotFound
from beholder.jobs.cell_queries import cells
from beholder.jobs.channel_dreams import dream_job
from beholder.jobs.channel_queries import channels
from beholder.jobs.exemplar_queries import ExemplarView, companions, exemplars
from beholder.jobs.features import channel_spec
from beholder.jobs.network_queries import measured_studies
from beholder.jobs.outcomes import ExemplarKind
from beholder.jobs.queries import get_picture
from beholder.jobs.record_queries import channel_records
from beholder.jobs.record_views import ChannelRecord
from beholder.jobs.spool import Entry
from beholder.jobs.submit import create_job, noise_entries
from beholder.jobs.views import ChannelView, JobView
from beholder.layers import LAST_LAYER, LAYERS, Layer, check_channels, find_layer
from beholder.networks import WEIGHT_SUFFIXES, check_network, width_divisor
from beholder.recipes import DEFAULT_CHANNEL_RECIPE

router = APIRouter(route_class=PageRoute, include_in_schema=False)
Opened = Annotated[Services, Depends(services)]

SHOWN_FACES, SHOWN_OTHERS = 9, 4
SEEN = 224 / 256  # of a picture's square, in the middle: preprocessing crops it
OTHER_KINDS: tuple[tuple[ExemplarKind, str, str], ...] = (
    ("random", "Some at random", "As a measure: pictures that were drawn by lot."),
    ("weakest", "Its weakest pictures", "What leaves it as it is, or nearly."),
)
KEPT_STEPS = (8, 16, 32, 64, 128)  # of a channel's dream, for the film of it
SHOWN_TOP, SHOWN_STUDIES, SHOWN_CHOSEN, SHOWN_RECORDS = 10, 100, 60, 4


@dataclass(frozen=True)
class NetworkRow:
    """A network with what its studies found."""

    name: str
    path: str
    studies: int
    newest: JobView
    chosen: list[ChannelView]


@dataclass(frozen=True)
class Place:
    """A layer of a network that an address names, with its studies, newest first."""

    word: str  # what the address calls the network
    network: str  # what a spec calls it
    layer: Layer
    width: int
    studies: list[JobView]

    @property
    def values(self) -> dict[str, Any]:
        """For the template."""
        path = links.quoted(self.word)
        return {
            "network": self.word, "path_name": path, "layer": self.layer, "width": self.width
        }  # fmt: skip


@dataclass(frozen=True)
class StudyRow:
    """A channel's statistics with the study that they are of."""

    study: JobView
    view: ChannelView


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Face:
    """A picture of a study. box: what in it drives the channel, in percent of its square."""

    view: ExemplarView
    url: str
    box: Box | None


@dataclass(frozen=True)
class Wall:
    """Pictures of one kind, under a heading."""

    heading: str
    note: str
    faces: list[Face]


@router.get("/channels")
def networks(request: Request, opened: Opened) -> HTMLResponse:
    """Each network that a study has measured."""
    by_word: dict[str, list[JobView]] = {}
    for study in measured_studies(opened.db):
        by_word.setdefault(links.network_word(study), []).append(study)
    rows = [
        NetworkRow(word, links.network_path(found[0]), len(found), found[0], _chosen(opened, found))
        for word, found in by_word.items()
    ]
    return render(request, "channels.html", networks=rows)


@router.get("/channels/{network}/{layer}", response_model=None)
def layer(
    request: Request, opened: Opened, network: str, layer: str
) -> HTMLResponse | RedirectResponse:
    """A layer's channels in the newest study."""
    place = _place(opened, network, layer)
    if layer != place.layer.name:
        return see_other(f"/channels/{links.quoted(network)}/{place.layer.name}")
    index = place.layer.index
    study = place.studies[0] if place.studies else None
    return render(
        request,
        "layer.html",
        **place.values,
        study=study,
        rows=list(channels(opened.db, study=study.id, layer=index)) if study else [],
        below=LAYERS[index - 1] if index else None,
        above=LAYERS[index + 1] if index < LAST_LAYER else None,
    )


@router.get("/channels/{network}/{layer}/{channel}", response_model=None)
def channel(
    request: Request, opened: Opened, network: str, layer: str, channel: int
) -> HTMLResponse | RedirectResponse:
    """All that is known of one channel."""
    place = _place(opened, network, layer)
    divisor = place.layer.channels // place.width
    check_channels(place.layer, [channel], width_divisor=divisor, network=network)
    if layer != place.layer.name:
        return see_other(f"/channels/{links.quoted(network)}/{place.layer.name}/{channel}")
    index, by_id = place.layer.index, {study.id: study for study in place.studies}
    found = channels(opened.db, layer=index, channel=channel) if by_id else ()
    rows = [StudyRow(by_id[view.study], view) for view in found if view.study in by_id]
    studies = list(by_id)
    dream = dream_job(opened.db, network=network, layer=index, channel=channel, finished=True)
    waiting = dream_job(opened.db, network=network, layer=index, channel=channel, finished=False)
    return render(
        request,
        "channel.html",
        **place.values,
        channel=channel,
        rows=rows[:SHOWN_STUDIES],
        exemplars=_faces(opened, index, channel, studies, "strongest", SHOWN_FACES),
        walls=[
            Wall(heading, note, faces)
            for kind, heading, note in OTHER_KINDS
            if (faces := _faces(opened, index, channel, studies, kind, SHOWN_OTHERS))
        ],
        dream_job=dream,
        dreams=_dreams(opened, dream) if dream else [],
        open_job=None if dream else waiting,
        companions=companions(opened.db, layer=index, channel=channel, studies=studies),
        records=_records(opened, place, channel),
        **_neighbours(opened, place, channel),
    )


@router.post("/channels/{network}/{layer}/{channel}/dream", response_model=None)
def queue_dream(opened: Opened, network: str, layer: str, channel: int) -> RedirectResponse:
    """Dream a channel from noise, and from the picture that drives it most."""
    place = _place(opened, network, layer)
    divisor = place.layer.channels // place.width
    check_channels(place.layer, [channel], width_divisor=divisor, network=network)
    index = place.layer.index
    address = f"/channels/{links.quoted(network)}/{place.layer.name}/{channel}"
    if dream_job(opened.db, network=network, layer=index, channel=channel, finished=False):
        return see_other(address)
    spec = channel_spec(
        place.network,
        DEFAULT_CHANNEL_RECIPE,
        layers=(index,),
        channels=(channel,),
        snapshots=KEPT_STEPS,
    )
    strongest = exemplars(
        opened.db,
        layer=index,
        channel=channel,
        studies=[study.id for study in place.studies],
        limit=1,
    )
    entries = [
        Entry(one.source, get_picture(opened.db, one.picture_sha256), group=one.group)
        for one in strongest
    ]
    name = f"{place.layer.name} channel {channel}"
    create_job(opened.db, spec, [*entries, *noise_entries(spec)], name=name)
    wake_workers(opened)
    return see_other(address)


def _faces(
    opened: Services, layer: int, channel: int, studies: list[str], kind: ExemplarKind, limit: int
) -> list[Face]:
    found = exemplars(
        opened.db, layer=layer, channel=channel, studies=studies, kind=kind, limit=limit
    )
    return [
        Face(one, links.picture(one.picture_sha256, thumb=links.FACE), _box(one.region))
        for one in found
    ]


def _box(region: tuple[float, float, float, float] | None) -> Box | None:
    """Where a region of what the network saw is on the square that the page shows."""
    if region is None:
        return None
    edge = (1 - SEEN) / 2
    left, top, right, bottom = (round(100 * (edge + SEEN * side), 1) for side in region)
    return Box(left, top, right - left, bottom - top)


def _place(opened: Services, network: str, layer: str) -> Place:
    found = find_layer(layer)
    studies = measured_studies(opened.db, network=network)
    if studies:
        name = studies[0].network
    else:
        # Without a study only a name will do: an address never leads to a file of the server.
        try:
            name = check_network(network)
        except InvalidSpec:
            name = ""
        if not name or name.lower().endswith(WEIGHT_SUFFIXES):
            raise NotFound(f"no study is on a network {network!r}: /channels lists them.")
    divisor = width_divisor(name)
    if divisor is None:
        newest = channels(opened.db, study=studies[0].id, layer=found.index)
        return Place(network, name, found, sum(1 for _ in newest), studies)
    return Place(network, name, found, found.channels // divisor, studies)


def _chosen(opened: Services, studies: list[JobView]) -> list[ChannelView]:
    """What the newest study chose; a convolution read after its ReLU is left to it."""
    both = bool(studies[0].spec.get("pre_relu"))
    found = channels(opened.db, study=studies[0].id, chosen=True)
    return [row for row in found if both or LAYERS[row.layer].kind != "conv"][:SHOWN_CHOSEN]


def _records(opened: Services, place: Place, channel: int) -> list[ChannelRecord]:
    """By class, over all studies; a pool has none."""
    if place.layer.kind == "pool":
        return []
    found = channel_records(opened.db, layer=place.layer.index, channel=channel, network=place.word)
    return found[:SHOWN_RECORDS]


def _dreams(opened: Services, job: JobView) -> list[dict[str, Any]]:
    steps = int(job.spec["steps"])
    return [
        {
            "position": cell.position,
            "source": cell.source,
            "url": links.result(job.id, cell.position, steps),
            "width": cell.width,
            "height": cell.height,
        }
        for cell in cells(opened.db, job, range(min(job.total, 4)), step=steps)
        if cell.file_sha256
    ]


def _neighbours(opened: Services, place: Place, channel: int) -> dict[str, Any]:
    if not place.studies:
        return {"marks": [], "top": [], "newest": None}
    newest = place.studies[0]
    rows = list(channels(opened.db, study=newest.id, layer=place.layer.index))
    means = {row.channel: row.mean for row in rows}
    strengths = [means.get(number, 0.0) for number in range(place.width)]
    return {"marks": strip(strengths, channel), "top": rows[:SHOWN_TOP], "newest": newest}
