"""The scrape endpoint. Imported in the supervisor alone: a worker has no use for prometheus_client."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from gatewright_prometheus.merged import Merged, read
from gatewright_prometheus.totals import BYTES_IN, BYTES_OUT, DURATION, IN_FLIGHT, OVERHEAD, UPSTREAM

_HISTOGRAMS = (
    (DURATION, "gatewright_http_request_duration_seconds", "From a request's head to the end of its response."),
    (UPSTREAM, "gatewright_upstream_first_byte_seconds", "From sending a request to the head of its response."),
    (OVERHEAD, "gatewright_overhead_seconds", "From a request's head to sending it: hooks, and getting a connection."),
)


class WorkersCollector(Collector):
    """Reads the workers' files at every scrape."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reading = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        with self._reading:
            merged = read(self._folder)
        yield from families(merged)


def families(merged: Merged) -> Iterator[Metric]:
    """The metrics of what was counted."""
    requests = CounterMetricFamily(
        "gatewright_http_requests", "Requests answered.", labels=("route", "method", "status")
    )
    for labels, value in merged.counts.items():
        requests.add_metric(labels, value)
    yield requests
    errors = CounterMetricFamily("gatewright_http_errors", "Exchanges that failed, by code.", labels=("route", "code"))
    for labels, value in merged.errors.items():
        errors.add_metric(labels, value)
    yield errors
    received = CounterMetricFamily("gatewright_http_request_body_bytes", "Body bytes from clients.", labels=("route",))
    sent = CounterMetricFamily("gatewright_http_response_body_bytes", "Body bytes to clients.", labels=("route",))
    in_flight = GaugeMetricFamily("gatewright_http_requests_in_flight", "Exchanges under way.", labels=("route",))
    for route, values in merged.plain.items():
        received.add_metric((route,), values[BYTES_IN])
        sent.add_metric((route,), values[BYTES_OUT])
        in_flight.add_metric((route,), values[IN_FLIGHT])
    yield received
    yield sent
    yield in_flight
    for which, name, text in _HISTOGRAMS:
        family = HistogramMetricFamily(name, text, labels=("route",))
        for (route, kind), numbers in merged.histograms.items():
            if kind == which:
                family.add_metric((route,), list(_cumulated(merged.bounds, numbers[1:])), sum_value=numbers[0])
        yield family
    workers = GaugeMetricFamily("gatewright_workers", "Workers that have counted something and are alive.")
    workers.add_metric((), merged.workers)
    yield workers


def _cumulated(bounds: Iterable[float], numbers: Iterable[float]) -> Iterator[tuple[str, float]]:
    total = 0.0
    for bound, number in zip((*map(str, bounds), "+Inf"), numbers, strict=True):
        total += number
        yield bound, total


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are no news."""


class ScrapeServer:
    """Serves the metrics from a thread.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, host: str, port: int, path: str, folder: Path) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(WorkersCollector(folder))
        metrics = make_wsgi_app(registry)

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"] != path:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [f"metrics are at {path}\n".encode()]
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer

        self._server: WSGIServer = make_server(host, port, app, ThreadingWSGIServer, _Silent)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="prometheus scrape", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)
