"""Spans of requests, runs, steps, fits and model calls; none unless a collector is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from mmm_workflows.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

NAME: Final = "mmm-workflows"

type Attribute = str | int | float | bool


class _Sink:
    """Where the spans of this process go, as the handlers of its log are the process's too."""

    provider: TracerProvider | None = None
    tracer: Tracer | None = None


def collector(endpoint: str) -> SpanExporter:
    """An exporter to an OpenTelemetry collector, over HTTP.

    Raises:
        SettingsError: The packages of the extra ``otel`` are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages that send traces are not "
            "installed. Install the extra `otel` (`make setup EXTRAS=otel`), or unset it."
        ) from error
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")


@contextmanager
def sent_to(exporter: SpanExporter) -> Iterator[None]:
    """Send the spans of this process to an exporter; those of the end are waited for.

    The provider is ours alone: spans that libraries make for the global one go nowhere.
    """
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: NAME}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _Sink.provider, _Sink.tracer = provider, provider.get_tracer(NAME)
    try:
        yield
    finally:
        _Sink.provider, _Sink.tracer = None, None
        provider.shutdown()


@contextmanager
def span(name: str, **attributes: Attribute) -> Iterator[Naming]:
    """Time what is done inside; an error is noted by its kind, for its text may hold data."""
    if _Sink.tracer is None:
        yield Naming(None)
        return
    from opentelemetry.trace import Status, StatusCode

    with _Sink.tracer.start_as_current_span(
        name, attributes=_named(attributes), record_exception=False, set_status_on_exception=False
    ) as open_span:
        try:
            yield Naming(open_span)
        except BaseException as error:
            open_span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


class Naming:
    """A span that is open, for what is known of it only at its end."""

    def __init__(self, open_span: Span | None) -> None:
        self._span = open_span

    def told(self, name: str, **attributes: Attribute) -> None:
        """Rename the span, and add to its attributes."""
        if self._span is not None:
            self._span.update_name(name)
            self._span.set_attributes(_named(attributes))


def _named(attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    return {f"mmm.{name}": value for name, value in attributes.items()}


def sent_where_set(endpoint: str | None) -> AbstractContextManager[None]:
    """Send traces to a collector for the length of the block; nowhere where none is set.

    Raises:
        SettingsError: The extra ``otel`` is not installed.
    """
    return nullcontext() if endpoint is None else sent_to(collector(endpoint))
