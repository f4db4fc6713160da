"""Spans on their way to a collector by OTLP over HTTP: `Otlp`. Imports OpenTelemetry's SDK.

Where to, how many and with which headers is said by the SDK's own variables (OTEL_...).
"""

import os
import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from beholder.traces import SUBMIT, Span, trace_ids


class Otlp:
    """Keeps spans until a few are together, and sends them from a thread of its own."""

    def __init__(self, service: str) -> None:
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {SERVICE_NAME: service}
        self._ids = _Ids()
        self._provider = TracerProvider(resource=Resource.create(named), id_generator=self._ids)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("beholder")

    def send(self, span: Span) -> None:
        """Take one; it is sent later."""
        trace_id, root_id = trace_ids(span.job_id)
        first = span.name == SUBMIT
        self._ids.given = (trace_id, root_id) if first else None
        begun = self._tracer.start_span(
            span.name,
            None if first else set_span_in_context(self._root(trace_id, root_id)),
            attributes={
                "beholder.job": span.job_id,
                **{f"beholder.{name}": value for name, value in span.attributes.items()},
            },
            start_time=span.begun,
        )
        if span.error is not None:
            begun.set_status(Status(StatusCode.ERROR, span.error))
        begun.end(span.ended)

    def flush(self) -> None:
        """Send what is left. Of a collector that does not answer only the exporter's own limits say
        for how long it is waited for (OTEL_EXPORTER_OTLP_TIMEOUT; 10 s unless set).
        """
        self._provider.force_flush()

    def _root(self, trace_id: int, root_id: int) -> NonRecordingSpan:
        """The first span of a job's trace, wherever it was recorded, sampled as it was there."""
        decision = self._provider.sampler.should_sample(None, trace_id, SUBMIT).decision
        sampled = decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT
        return NonRecordingSpan(SpanContext(trace_id, root_id, True, TraceFlags(flags)))


class _Ids(RandomIdGenerator):
    """Ids as they come, except where this thread has given those of the next span."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    @property
    def given(self) -> tuple[int, int] | None:
        """A trace's id and its first span's."""
        found: tuple[int, int] | None = getattr(self._of_thread, "given", None)
        return found

    @given.setter
    def given(self, ids: tuple[int, int] | None) -> None:
        self._of_thread.given = ids

    def generate_trace_id(self) -> int:
        """The given one, else a new one."""
        return self.given[0] if self.given else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """The given one, else a new one."""
        return self.given[1] if self.given else super().generate_span_id()
