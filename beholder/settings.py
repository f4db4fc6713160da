"""Settings, read once by an entrypoint from the environment (`BEHOLDER_...`) and passed on.

With none set, everything lives in one folder on this machine: SQLite, a private Redis, pictures.
`read_settings()` reads them; `BEHOLDER_..._FILE` names a file that holds a setting's value;
`unknown_settings()` says what is set and never read.
"""

import difflib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from beholder.errors import InvalidInput
from beholder.pictures import DEFAULT_MAX_PIXELS, PILLOW_MAX_PIXELS
from beholder.urls import with_password

_PREFIX = "BEHOLDER_"
# Docker Compose reads the first two; Kubernetes sets the rest for services that are named so.
_OTHERS = re.compile(r"VERSION|PUBLISH|(.*_)?(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP).*)?)")
_MAX_SOCKET_PATH = 100  # a unix socket's path holds 107 bytes on Linux
_MOST_S = 30 * 24 * 3600.0
_MOST_DAYS = 36_500.0  # a calendar's years end, some thousand before ours
_Seconds = Annotated[float, Field(gt=0, le=_MOST_S)]


class Settings(BaseSettings):
    """Where things are and how patient to be. Times are in seconds, up to 30 days.

    home: the data folder.
    database_url, redis_url, store_url: each replaces one part of the embedded default.
    database_password, redis_password: put into those URLs, so that a URL need hold no secret.
    network: what `--network` is when it is not given.
    device: "auto" takes the GPU when there is one; else as torch spells it ("cpu", "cuda:1").
    gpu_share: how much of a GPU's memory a worker process may take, above 0 and up to 1.
    lease_s: how long a worker may be silent before its chunk goes to another.
    hang_s: how long none of a worker's steps may come to its end before it is started anew.
    sweep_s: how often a worker looks for chunks that nobody works on.
    retention_days: workers remove jobs that ended longer ago, with their results; None: never. A
        hundred years at most.
    checkpoint_s: how often a dream that takes twice as long is kept, to go on from there.
    max_pixels: pictures with more are refused, before they are decoded.
    api_host, api_port: where the API and the page listen.
    api_hosts: further names, comma-separated, by which browsers may reach them.
    api_tokens: NAME:SCOPE:HASH entries, comma-separated, as `beholder token` prints them.
    upload_...: the most bytes of one file, files of one request, and bytes of one request.
    webhook_private: whether webhooks may go to addresses that are not public.
    log: how services write their logs: lines for people, or a JSON object a line.
    events: whether workers tell Celery's monitors what they do.
    monitor_host, monitor_port: where Flower listens, to whoever knows monitor_auth, USER:PASSWORD.
    server, token_file: commands ask this server, with the token in this file, and open nothing of
    the above but the data folder.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)

    home: Path = Field(default_factory=lambda: user_data_path("beholder"))
    database_url: str | None = None
    redis_url: str | None = None
    store_url: str | None = None
    database_password: SecretStr | None = None
    redis_password: SecretStr | None = None
    network: str = "vgg19"
    device: str = "auto"
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    lease_s: _Seconds = 15.0
    hang_s: _Seconds = 1200.0
    sweep_s: _Seconds = 3.0
    retention_days: Annotated[float | None, Field(gt=0, le=_MOST_DAYS)] = None
    checkpoint_s: _Seconds = 30.0
    max_pixels: Annotated[int, Field(gt=0, le=PILLOW_MAX_PIXELS)] = DEFAULT_MAX_PIXELS
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8321
    api_hosts: str = ""
    api_tokens: SecretStr = SecretStr("")
    upload_file_bytes: Annotated[int, Field(gt=0, le=512 * 2**20)] = 64 * 2**20
    upload_files: Annotated[int, Field(gt=0)] = 10_000
    upload_total_bytes: Annotated[int, Field(gt=0)] = 4 * 2**30
    webhook_private: bool = False
    log: Literal["text", "json"] = "text"
    events: bool = False
    monitor_host: str = "127.0.0.1"
    monitor_port: Annotated[int, Field(gt=0, le=65535)] = 5555
    monitor_auth: SecretStr | None = None
    server: Annotated[str | None, BeforeValidator(lambda text: text or None)] = None
    token_file: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is passed, then the environment, then the files that it names."""
        return init_settings, env_settings, _Files(settings_cls)

    @property
    def database(self) -> str:
        """The database's SQLAlchemy URL. Raises InvalidInput where a password finds no place."""
        if self.database_password is None:
            return self.database_url or f"sqlite:///{self.home.absolute() / 'beholder.db'}"
        return _with_password("DATABASE", self.database_url, self.database_password)

    @property
    def broker(self) -> str:
        """The URL by which Celery reaches Redis. Raises InvalidInput, as `database`."""
        if self.redis_password is None:
            return self.redis_url or f"redis+socket://{self.redis_socket}"
        return _with_password("REDIS", self.redis_url, self.redis_password)

    @property
    def store(self) -> str:
        """The fsspec URL of the store of pictures and results."""
        return self.store_url or str(self.home.absolute() / "store")

    @property
    def api_address(self) -> str:
        """Where a browser on this machine finds the page."""
        host = self.api_host
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(
            host, f"[{host}]" if ":" in host else host
        )
        return f"http://{shown}:{self.api_port}/"

    @property
    def look_s(self) -> float:
        """How much silence at most a sweep may find at once; more than one makes up a lease.

        Twice the time between two, since a sweep takes its time too.
        """
        return min(2 * self.sweep_s, self.lease_s / 2)

    @property
    def networks_dir(self) -> Path:
        """Where downloaded weights are kept."""
        return self.home / "networks"

    @property
    def batch_sizes(self) -> Path:
        """Where this machine's workers remember which batches its memory holds."""
        return self.home / "batch-sizes.json"

    @property
    def redis_socket(self) -> Path:
        """The private Redis's socket: in the data folder, or in a short path standing for it."""
        socket = self.home.absolute() / "redis.sock"
        if len(str(socket).encode()) <= _MAX_SOCKET_PATH:
            return socket
        name = hashlib.sha256(str(socket).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"beholder-{os.getuid()}-{name}" / "redis.sock"


class _Files(PydanticBaseSettingsSource):
    """Values from the files that `BEHOLDER_..._FILE` names, as secrets are handed to containers."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """A setting's value, None where no file is named. Raises InvalidInput."""
        name = f"{_PREFIX}{field_name.upper()}"
        path = os.environ.get(f"{name}_FILE")
        if not path:
            return None, field_name, False
        if name in os.environ:
            raise InvalidInput(f"{name} and {name}_FILE are both set: unset one of them.")
        try:
            value = Path(path).read_text().strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise InvalidInput(
                f"{name}_FILE names {path}, which can't be read: {reason}."
            ) from None
        if not value:
            raise InvalidInput(f"{name}_FILE names {path}, which is empty.")
        return value, field_name, False

    def __call__(self) -> dict[str, Any]:
        """All that is named."""
        fields = self.settings_cls.model_fields.items()
        found = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in found.items() if value is not None}


def read_settings(**given: Any) -> Settings:
    """What is given, else from the environment. Raises InvalidInput, naming the variable."""
    try:
        return Settings(**given)
    except ValidationError as error:
        detail = error.errors()[0]
        name = f"{_PREFIX}{detail['loc'][0]}".upper()
        raise InvalidInput(f"{name}: {detail['msg']}; got {detail['input']!r}.") from None


def unknown_settings() -> list[str]:
    """A sentence on each variable that looks like a setting and is none, such as a misspelt one."""
    names = [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]
    known = {*names, *(f"{name}_FILE" for name in names)}
    given = [name for name in sorted(os.environ) if name.upper().startswith(_PREFIX)]
    found = []
    for name in given:
        spelt = name.upper()
        if spelt in known or _OTHERS.fullmatch(spelt.removeprefix(_PREFIX)):
            continue
        close = difflib.get_close_matches(spelt, sorted(known), 1, 0.8)
        hint = f": did you mean {close[0]}?" if close else "."
        found.append(f"{name} is no setting, and nothing reads it{hint}")
    return found


def _with_password(kind: str, url: str | None, password: SecretStr) -> str:
    try:
        return with_password(url or "", password.get_secret_value())
    except ValueError:
        raise InvalidInput(
            f"BEHOLDER_{kind}_PASSWORD needs a BEHOLDER_{kind}_URL with a host and without a "
            "password: write the password in one place."
        ) from None
