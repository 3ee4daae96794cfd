"""Counting in a worker, merging in the supervisor, and the scrape."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from gatewright_prometheus import plugin
from gatewright_prometheus.component import Scrape
from gatewright_prometheus.config import PrometheusSettings
from gatewright_prometheus.exposition import families
from gatewright_prometheus.merged import read
from gatewright_prometheus.totals import Totals
from gatewright_sdk import ClientAddress, ClientError, Exchange, PluginError, Request, Response, RouteInfo
from gatewright_sdk.testing import FakeContext, FakeUpstream, Harness

BOUNDS = (0.1, 1.0)


def exchange(route: str = "a", method: str = "GET", status: int | None = 200, seconds: float = 0.05) -> Exchange:
    made = Exchange(Request(method, "/"), ClientAddress("198.51.100.7"), received_at=10.0)
    made.route = RouteInfo(route)
    made.response = Response(status) if status else None
    made.upstream_at, made.first_byte_at, made.completed_at = 10.0 + seconds / 4, 10.0 + seconds / 2, 10.0 + seconds
    made.bytes_in, made.bytes_out = 3, 7
    return made


def count(totals: Totals, *exchanges: Exchange) -> None:
    for each in exchanges:
        totals.begin(each)
        totals.end(each)


def samples(folder: Path) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families(read(folder))
        for sample in family.samples
    }


@pytest.fixture
def totals(tmp_path: Path) -> Iterator[Totals]:
    made = Totals(tmp_path, 0, BOUNDS, 3)
    yield made
    made.close()


def test_what_is_counted(tmp_path: Path, totals: Totals) -> None:
    failed = exchange(status=504, seconds=2.0)
    failed.error = ClientError("no", code="timeout")
    count(totals, exchange(), exchange(method="BREW"), exchange(status=None), failed)
    found = samples(tmp_path)
    assert found["gatewright_http_requests_total", ("a", "GET", "200")] == 1
    assert found["gatewright_http_requests_total", ("a", "_other", "200")] == 1
    assert found["gatewright_http_requests_total", ("a", "GET", "499")] == 1
    assert found["gatewright_http_requests_total", ("a", "GET", "504")] == 1
    assert found["gatewright_http_errors_total", ("a", "timeout")] == 1
    assert found["gatewright_http_request_body_bytes_total", ("a",)] == 12
    assert found["gatewright_http_response_body_bytes_total", ("a",)] == 28
    name = "gatewright_http_request_duration_seconds"
    assert [found[f"{name}_bucket", ("a", bound)] for bound in ("0.1", "1.0", "+Inf")] == [3, 3, 4]
    assert found[f"{name}_sum", ("a",)] == pytest.approx(2.15)
    assert found["gatewright_upstream_first_byte_seconds_sum", ("a",)] == pytest.approx(2.15 / 4)
    assert found["gatewright_overhead_seconds_sum", ("a",)] == pytest.approx(2.15 / 4)
    assert found["gatewright_workers", ()] == 1


def test_in_flight(tmp_path: Path, totals: Totals) -> None:
    first, second, answered_earlier = exchange(), exchange(), exchange()
    totals.begin(first)
    totals.begin(second)
    totals.end(first)
    # A filter before this one answered, so that it saw the end alone.
    totals.end(answered_earlier)
    assert samples(tmp_path)["gatewright_http_requests_in_flight", ("a",)] == 1
    totals.end(second)
    assert samples(tmp_path)["gatewright_http_requests_in_flight", ("a",)] == 0


def test_routes_beyond_the_bound_share_a_label(tmp_path: Path, totals: Totals) -> None:
    count(totals, *(exchange(route=f"r{number}") for number in range(10)))
    routes = {labels[0] for name, labels in samples(tmp_path) if name == "gatewright_http_requests_total"}
    assert routes == {"r0", "r1", "r2", "_other"}
    assert samples(tmp_path)["gatewright_http_requests_total", ("_other", "GET", "200")] == 7


def test_a_full_file_counts_on_without_harm(tmp_path: Path, totals: Totals) -> None:
    count(totals, *(exchange(status=status) for status in range(200, 600)))
    found = samples(tmp_path)
    assert found["gatewright_http_requests_total", ("a", "GET", "200")] == 1
    assert found["gatewright_http_request_duration_seconds_count", ("a",)] == 400


def test_workers_are_summed_and_ended_ones_stay_counted(tmp_path: Path) -> None:
    one, two = Totals(tmp_path, 0, BOUNDS, 3), Totals(tmp_path, 1, BOUNDS, 3)
    count(one, exchange())
    count(two, exchange(), exchange())
    two.begin(exchange())
    key = ("gatewright_http_requests_total", ("a", "GET", "200"))
    assert samples(tmp_path)[key] == 3
    two.close()
    assert samples(tmp_path)[key] == 3
    assert samples(tmp_path)["gatewright_http_requests_in_flight", ("a",)] == 0
    assert len(list(tmp_path.glob("*.keys"))) == 1
    count(one, exchange())
    assert samples(tmp_path)[key] == 4
    assert samples(tmp_path)["gatewright_workers", ()] == 1
    one.close()


def test_what_a_killed_worker_counted_is_kept(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from gatewright_prometheus.totals import Totals\n"
        "from gatewright_sdk import *\n"
        "t = Totals(Path(sys.argv[1]), 0, (0.1, 1.0), 3)\n"
        "e = Exchange(Request(), ClientAddress('198.51.100.7')); e.route = RouteInfo('a'); e.response = Response(200)\n"
        "t.begin(e); t.end(e); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == -9
    for _ in range(2):
        assert samples(tmp_path)["gatewright_http_requests_total", ("a", "GET", "200")] == 1


def test_a_worker_does_not_import_the_library() -> None:
    script = "import sys, gatewright_prometheus; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_through_the_filter_and_the_scrape(tmp_path: Path) -> None:
    async def run() -> None:
        settings = PrometheusSettings(bind="127.0.0.1:0", path="/numbers")
        scrape = Scrape(settings)
        await scrape.start(FakeContext(settings=settings, run_dir=tmp_path, worker=-1))
        harness = Harness.of(
            plugin, {}, upstream=FakeUpstream(), settings=settings, run_dir=tmp_path, route='we"ird\\route'
        )
        async with harness:
            await harness.send(Request("GET", "/"))
            url = f"http://127.0.0.1:{scrape.port}"
            text = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{url}/numbers").read().decode())
            with pytest.raises(urllib.error.HTTPError, match="404"):
                await asyncio.to_thread(urllib.request.urlopen, f"{url}/metrics")
        await scrape.stop()
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        assert found["gatewright_http_requests_total", "GET", 'we"ird\\route', "200"] == 1

    asyncio.run(run())


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        scrape = Scrape(PrometheusSettings(bind=bind))
        with pytest.raises(PluginError, match=f"cannot serve metrics on {bind}: {os.strerror(98)}; set another bind"):
            asyncio.run(scrape.start(FakeContext(run_dir=tmp_path)))


@pytest.mark.parametrize(
    "document",
    [
        {"bind": "9464"},
        {"bind": ":9464"},
        {"bind": "a:99999"},
        {"path": "metrics"},
        {"buckets": []},
        {"buckets": [1, 0.5]},
        {"buckets": [0, 1]},
        {"max_routes": 0},
        {"port": 1},
    ],
)
def test_what_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PrometheusSettings.model_validate(document)
