"""What has to hold for any input: one function a parser. Hypothesis, `make fuzz` and atheris call
the same ones.
"""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from api.addresses import check_url
from api.multipart import parts
from api.schemas import NewDream, NewStudy, build_spec, read_job, read_json, source_of
from beholder.errors import BeholderError, PictureError
from beholder.layers import find_layer, parse_channels, parse_layers
from beholder.names import MAX_STEM_BYTES, safe_stem
from beholder.networks import check_network
from beholder.pictures import decode, peek
from beholder.settings import Settings
from beholder.specs import DreamSpec, StudySpec
from beholder.tokens import Tokens
from beholder.watched import most_seconds
from cli.submit import parse_size, parse_steps

MAX_PIXELS = 250_000
_SLACK_S = 2.0  # a decoder notices between two blocks of its input
_TEXTS = (
    find_layer,
    parse_layers,
    parse_channels,
    parse_size,
    parse_steps,
    check_network,
    Tokens,
    Tokens("ada:read:" + "0" * 64).caller,
    lambda text: check_url(text, private=False),
    lambda text: read_job(NewDream, text.encode(errors="surrogatepass")),
    lambda text: read_job(NewStudy, text.encode(errors="surrogatepass")),
    lambda text: read_json(text.encode(errors="surrogatepass"), "spec"),
)


def check_picture(data):
    """Both readers give a picture or a PictureError of one line, in time, and agree on its size."""
    begun, seen = time.thread_time(), None
    with one_line(PictureError):
        seen = peek(data, max_pixels=MAX_PIXELS)
    with one_line(PictureError):
        image = decode(data, max_pixels=MAX_PIXELS)
        assert image.mode == "RGB"
        assert seen is not None, "decoded, but its header can't be read"
        assert image.size == (seen.width, seen.height)
    assert time.thread_time() - begun < 2 * (most_seconds(MAX_PIXELS) + _SLACK_S)


def check_text(text):
    """No parser of text raises anything but a line that says what to change."""
    for parse in _TEXTS:
        with one_line():
            parse(text)


def check_fields(fields):
    """Nor does a spec of whatever fields."""
    for build in (DreamSpec.build, StudySpec.build):
        with one_line():
            build(**fields)
    for kind in ("dream", "study"):
        with one_line():
            build_spec(kind, fields, network="specimens")


def check_name(name):
    """A name from outside leads nowhere: it stays one visible part of a path."""
    source = source_of(name)
    assert not source.startswith("/")
    assert ".." not in source.split("/")
    assert source.isprintable()
    for stem in (safe_stem(name), safe_stem(source)):
        assert stem
        assert not set(stem) & set('/\\\0:*?"<>|\n\r\t ~')
        assert not stem.startswith((".", "-"))
        assert stem.isprintable()
        assert len(stem.encode()) <= MAX_STEM_BYTES


def check_multipart(body, content_type, piece=64):
    """A body in pieces gives parts, or one line."""

    class Request:
        headers = {"content-type": content_type}  # noqa: RUF012

        async def stream(self):
            for at in range(0, len(body), piece):
                yield body[at : at + piece]

    async def read():
        settings = Settings(upload_file_bytes=4096, upload_total_bytes=1 << 16, upload_files=8)
        async for part in parts(Request(), settings):
            assert len(part.data) <= 4096 or part.filename is None
            with one_line():
                _ = part.text
            check_name(part.filename or part.name)

    # On a thread of its own: a browser's tests leave a loop running in this one.
    with one_line(), ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(read())).result()


@contextlib.contextmanager
def one_line(kind=BeholderError):
    """Only errors of this kind come out, and they can be shown as they are."""
    try:
        yield
    except kind as error:
        words = str(error)
        assert words
        assert words.isprintable(), words
        assert len(words) < 2_000
