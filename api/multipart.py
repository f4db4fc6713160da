"""A multipart body as it arrives: `parts(request, limits)` yields field by field, file by file.

One file is in memory at a time; limits are held while reading, not after.
"""

import io
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from api.problems import TooLarge
from beholder.errors import InvalidInput
from beholder.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 64 << 10  # as a line of a job that comes as lines
MAX_FIELDS = 100_000
MAX_TEXT_BYTES = 8 << 20  # of all fields together


@dataclass(frozen=True)
class Part:
    """A field or, with a filename, a file. too_large: the file was, and its bytes are left out."""

    name: str
    filename: str | None
    data: bytes
    too_large: bool = False

    @property
    def text(self) -> str:
        """A field's value. Raises InvalidInput where it is not UTF-8."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"{self.name}: not UTF-8 text.") from None


async def parts(request: Request, settings: Settings) -> AsyncIterator[Part]:
    """Each part once it is whole. Raises TooLarge, or InvalidInput for what is no multipart."""
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidInput("multipart/form-data needs a boundary: let your client set the header.")
    reader = _Reader(settings)
    received = 0
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # refuses a long boundary
        async for chunk in request.stream():
            received += len(chunk)
            if received > settings.upload_total_bytes:
                raise TooLarge(
                    f"a request may have {settings.upload_total_bytes:,} bytes: send the pictures "
                    "ahead with POST /v1/pictures, then their hashes."
                )
            parser.write(chunk)
            while reader.ready:
                yield reader.ready.popleft()
        parser.finalize()
    except FormParserError as error:
        raise InvalidInput(f"the multipart body is broken: {error}") from None
    if not reader.ended:
        raise InvalidInput("the multipart body is cut short.")


class _Reader:
    """Hears from the parser, and puts whole parts into `ready`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.ready: deque[Part] = deque()
        self.ended = False
        self._files = self._fields = self._text_bytes = 0
        self._begin()

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._header = self._value = b""
        self._disposition = b""
        self._data = io.BytesIO()  # whose value is no copy
        self._too_large = False
        self._name = ""
        self._filename: str | None = None

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise InvalidInput("a part of the multipart body has no name.")
        self._name = options[b"name"].decode(errors="replace")
        if b"filename" in options:
            self._filename = options[b"filename"].decode(errors="replace")
            self._files += 1
        else:
            self._fields += 1
        if self._files > self._settings.upload_files or self._fields > MAX_FIELDS:
            raise TooLarge(f"a request may have {self._settings.upload_files:,} files.")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._filename is None:
            self._count_text(end - start)
        limit = MAX_FIELD_BYTES if self._filename is None else self._settings.upload_file_bytes
        if self._data.tell() + end - start <= limit:
            if not self._too_large:
                self._data.write(data[start:end])
            return
        if self._filename is None:
            raise TooLarge(f"the field {self._name} has more than {limit:,} bytes.")
        self._too_large = True
        self._data = io.BytesIO()

    def _count_text(self, size: int) -> None:
        self._text_bytes += size
        if self._text_bytes > MAX_TEXT_BYTES:
            raise TooLarge(f"the fields of a request may have {MAX_TEXT_BYTES:,} bytes.")

    def _part_end(self) -> None:
        data = self._data.getvalue()
        self.ready.append(Part(self._name, self._filename, data, self._too_large))
        self._data = io.BytesIO()

    def _end(self) -> None:
        self.ended = True
