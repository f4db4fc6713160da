"""Whether variables are ones that something reads: `unknown(names)`."""

from collections.abc import Iterable

from beholder.settings import Settings

_OTHERS = {  # read by libraries, each by its own documentation
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_SHARED_CREDENTIALS_FILE",
    "FORWARDED_ALLOW_IPS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
}
SECRET = {"api_tokens", "database_password", "redis_password", "monitor_auth"}


def unknown(names: Iterable[str]) -> set[str]:
    """Those that neither Settings nor a library reads."""
    ours = {f"BEHOLDER_{name.upper()}" for name in Settings.model_fields}
    return set(names) - ours - {f"{name}_FILE" for name in ours} - _OTHERS


def in_the_open(names: Iterable[str]) -> set[str]:
    """Secrets that are given as they are, and not by a file's name."""
    return set(names) & {f"BEHOLDER_{name.upper()}" for name in SECRET}
