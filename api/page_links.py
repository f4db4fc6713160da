"""Addresses that the page shows: pictures, results, channels."""

from urllib.parse import quote

from beholder.jobs.views import JobView
from beholder.networks import WEIGHT_SUFFIXES

THUMB, FACE, WHOLE = 128, 256, 1024  # longest sides in pixels


def picture(sha256: str | None, *, thumb: int = 0) -> str:
    """An input picture; empty where there is none."""
    return f"/v1/pictures/{sha256}/image?size={thumb or WHOLE}" if sha256 else ""


def result(job_id: str, position: int, step: int, *, thumb: int = 0) -> str:
    """A dream after a step."""
    return f"/v1/jobs/{job_id}/items/{position}/pictures/{step}{f'?thumb={thumb}' if thumb else ''}"


def film(job_id: str, position: int) -> str:
    """A dream's steps, or the film that a frame belongs to, as an animated WebP."""
    return f"/v1/jobs/{job_id}/items/{position}/film.webp"


def zip_file(job_id: str) -> str:
    """All of a job's results."""
    return f"/v1/jobs/{job_id}/results.zip"


def report(job_id: str) -> str:
    """A sound study's report."""
    return f"/v1/studies/{job_id}/report"


def network_word(job: JobView) -> str:
    """What a network is called in addresses: its name, or its hash where its name is a path."""
    if job.network.lower().endswith(WEIGHT_SUFFIXES):
        return (job.network_sha256 or "")[:16] or "unknown"
    return job.network


def network_path(job: JobView) -> str:
    """The same, to be put into an address."""
    return quoted(network_word(job))


def quoted(word: str) -> str:
    """A word as a part of an address."""
    return quote(word, safe=":")
