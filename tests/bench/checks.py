"""Whether a gateway answers rightly, asked before it is measured and, for its log, after."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

from settings import UPSTREAM_PORT, BenchError

PATH = "/api/items?page=2"
BODY_BYTES = 1024
ORIGIN = "https://app.example.com"
#: What the load of the case filters sends beside the fields of load.lua.
FILTER_HEADERS = {"Origin": ORIGIN, "X-Debug": "1"}
#: Of the lines that an access log must have; the last buffer of a killed process may be lost.
LEAST_LOGGED = 0.99


def check_plain(name: str, port: int) -> None:
    """Two requests on one connection bring the upstream's own body.

    Raises:
        BenchError: they do not.
    """
    expected = _get(UPSTREAM_PORT, PATH)[1]
    _require(len(expected) == BODY_BYTES, f"the upstream's body has {len(expected)} bytes, not {BODY_BYTES}")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for _ in range(2):
            connection.request("GET", PATH)
            response = connection.getresponse()
            body = response.read()
            _require(response.status == 200, f"{name} answers {response.status}: {body[:200]!r}")
            _require(body == expected, f"{name} changes the body: {body[:200]!r}")
            _require(connection.sock is not None, f"{name} does not keep the connection open")
    finally:
        connection.close()


def check_filters(name: str, port: int, metrics: str, metric: str) -> None:
    """The five filters do their work, on both sides.

    Raises:
        BenchError: one does not.
    """
    check_plain(name, port)
    fields = _get(port, "/seen", FILTER_HEADERS)[0]
    request_id = fields.get("x-request-id", "")
    _require(len(request_id) >= 16, f"{name} gives no request id: {request_id!r}")
    _require(_get(port, "/seen", FILTER_HEADERS)[0]["x-request-id"] != request_id, f"{name} gives one request id twice")
    expected = {
        "x-seen-request-id": request_id,
        "x-seen-edge": "bench",
        "x-seen-debug": None,
        "x-backend": None,
        "x-content-type-options": "nosniff",
        "access-control-allow-origin": ORIGIN,
    }
    wrong = {key: fields.get(key) for key, value in expected.items() if fields.get(key) != value}
    _require(not wrong, f"{name}: these fields of the response are wrong: {wrong}; expected {expected}")
    _require("origin" in fields.get("vary", "").lower(), f"{name} sends no Vary: Origin")
    foreign = _get(port, "/seen", {"Origin": "https://evil.example"})[0]
    _require(foreign.get("access-control-allow-origin") is None, f"{name} allows an origin that is not on its list")
    _check_preflight(name, port)
    _check_metrics(name, metrics, metric)


def check_streams(name: str, port: int, interval: float) -> None:
    """A stream of six events passes whole and event by event.

    Raises:
        BenchError: it does not.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/events?count=6")
        response = connection.getresponse()
        _require(response.status == 200, f"{name} answers {response.status}")
        content_type = response.headers.get("content-type", "")
        _require(content_type.startswith("text/event-stream"), f"{name} sends {content_type!r}")
        first = response.readline() + response.readline()
        began = time.monotonic()
        rest = response.read()
        _require(rest == first * 5, f"{name} changes the stream: {(first + rest)[:200]!r}")
        _require(time.monotonic() - began > interval * 2, f"{name} held the events back until the stream ended")
    finally:
        connection.close()


def check_access_log(name: str, log: Path, requests: int) -> None:
    """There is a line of JSON with the request's id and path for every request.

    Raises:
        BenchError: there is not.
    """
    _require(log.exists(), f"{name} wrote no access log at {log}")
    lines = 0
    last = b""
    with log.open("rb") as file:
        for line in file:
            if line.endswith(b"}\n"):
                last, lines = line, lines + 1
    _require(
        lines >= requests * LEAST_LOGGED, f"{name} logged {lines} of {requests} requests; all must be, to be compared"
    )
    values = json.loads(last).values()
    _require(any(str(value).startswith("/api/items") for value in values), f"{name} logs no path: {last!r}")


def _check_preflight(name: str, port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("OPTIONS", PATH, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})
        response = connection.getresponse()
        response.read()
        allowed = response.headers.get("access-control-allow-methods", "")
        is_right = response.status in (200, 204) and "POST" in allowed
        _require(is_right, f"{name} answers a preflight with {response.status} and methods {allowed!r}")
    finally:
        connection.close()


def _check_metrics(name: str, url: str, metric: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            text = response.read().decode()
    except (urllib.error.URLError, OSError) as error:
        raise BenchError(f"{name} gives no metrics at {url}: {error}") from error
    _require(metric in text, f"{name}: its metrics at {url} hold no {metric}")


def _get(port: int, path: str, headers: dict[str, str] | None = None) -> tuple[dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        body = response.read()
        _require(response.status == 200, f"port {port} answers {path} with {response.status}: {body[:200]!r}")
        return {key.lower(): value for key, value in response.headers.items()}, body
    except OSError as error:
        raise BenchError(f"port {port} does not answer {path}: {error}") from error
    finally:
        connection.close()


def _require(claim: bool, message: str) -> None:
    if not claim:
        raise BenchError(message)
