"""What the service counts of itself, as Prometheus reads it; no label holds what a caller wrote."""

from __future__ import annotations

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from mmm_workflows.records import Backlog, RunCounts, now

# Counted from the database at most this often, however often a scraper asks.
COUNTED_EVERY_S: Final = 5.0
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Measures:
    """The measures of one application, in a registry of its own: two in a process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "mmm_requests", "Requests answered, by the template of their route.",
            ("method", "route", "status"), registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "mmm_request_seconds", "Seconds from a request to the end of its answer.",
            ("method", "route"), buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self.requests_open = self._gauge("mmm_requests_open", "Requests being answered.")
        self.sockets_open = self._gauge("mmm_sockets_open", "Open WebSockets.")
        self._runs = Gauge(
            "mmm_runs", "Runs in the database, by status.", ("status",), registry=self._registry
        )
        self._events = self._gauge("mmm_events", "Events in the log of all runs.")
        self._outbox = self._gauge(
            "mmm_memory_outbox",
            "Writes that wait for a store of memory, those that forget included.",
        )
        self._outbox_age = self._gauge(
            "mmm_memory_outbox_oldest_seconds",
            "Seconds that the oldest of them waits; 0 without one.",
        )
        self._counted_at: float | None = None
        self._labelled: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    @property
    def are_stale(self) -> bool:
        """Whether the figures of the database should be counted again."""
        last = self._counted_at
        return last is None or time.monotonic() - last >= COUNTED_EVERY_S

    def take_counts(self, counts: RunCounts, backlog: Backlog) -> None:
        """Keep the figures of the database."""
        for status, number in counts.runs.items():
            self._runs.labels(status.value).set(number)
        self._events.set(counts.events)
        self._outbox.set(backlog.waiting)
        oldest = backlog.oldest_at
        self._outbox_age.set(0.0 if oldest is None else (now() - oldest).total_seconds())
        self._counted_at = time.monotonic()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; ``route`` is a template of ours, never a path of a caller's."""
        method = method if method in METHODS else OTHER
        counter, histogram = self._of(method, route, status)
        counter.inc()
        histogram.observe(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self._registry)

    def _of(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        """The measures of these labels; prometheus_client takes its time to look them up."""
        labels = method, route, status
        if labels not in self._labelled:
            counter = self._requests.labels(method, route, str(status))
            self._labelled[labels] = counter, self._seconds.labels(method, route)
        return self._labelled[labels]

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(name, what, registry=self._registry)
