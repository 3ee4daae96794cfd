"""What a line says, and what it never says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright_access_log.config import AccessLogConfig
from gatewright_access_log.line import Clock, LineFormat, quote
from gatewright_sdk import ClientAddress, ClientError, Exchange, Headers, Identity, Request, Response, RouteInfo


def line(exchange: Exchange, **options: Any) -> dict[str, Any]:
    format = LineFormat(AccessLogConfig.model_validate(options), Clock(lambda: 1_700_000_000.25, lambda: 0.0))
    text = format.line(exchange)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def made(query: str = "", path: str = "/a", headers: Any = (), response: Response | None = None) -> Exchange:
    exchange = Exchange(
        Request("GET", path, query=query, host="api.example.com", headers=Headers(headers)),
        ClientAddress("198.51.100.7"),
        received_at=1.0,
    )
    exchange.id = "abc"
    exchange.route = RouteInfo("vod", "up")
    exchange.response = response or Response(200, body=b"x")
    exchange.completed_at = 1.25
    exchange.bytes_out = 1
    return exchange


def test_the_usual_line() -> None:
    exchange = made("x=1", headers=[("User-Agent", "curl/8")])
    exchange.target, exchange.upstream_at, exchange.first_byte_at = "http://10.0.0.1:9000", 1.1, 1.2
    assert line(exchange) == {
        "time": "2023-11-14T22:13:21.250Z",
        "id": "abc",
        "client": "198.51.100.7",
        "method": "GET",
        "host": "api.example.com",
        "path": "/a",
        "query": "x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 1,
        "duration_ms": 250.0,
        "upstream": "http://10.0.0.1:9000",
        "upstream_ms": 100.0,
        "route": "vod",
        "user_agent": "curl/8",
    }


def test_fields_are_chosen_and_ordered() -> None:
    exchange = made()
    exchange.identity, exchange.tenant = Identity("ann"), "acme"
    exchange.error, exchange.is_aborted = ClientError("no", code="bad-request"), True
    exchange.attempts = 2
    chosen = ["tenant", "subject", "aborted", "error", "attempts", "service", "scheme"]
    assert list(line(exchange, fields=chosen).items()) == [
        ("tenant", "acme"), ("subject", "ann"), ("aborted", True), ("error", "bad-request"), ("attempts", 2),
        ("service", "up"), ("scheme", "http"),
    ]  # fmt: skip


def test_a_client_that_left_before_the_response() -> None:
    exchange = made()
    exchange.response = None
    assert line(exchange)["status"] == 499


@pytest.mark.parametrize(
    ("query", "logged"),
    [
        ("a=1&token=s3cret&b=2", "a=1&token=[redacted]&b=2"),
        ("ACCESS_TOKEN=s3cret", "ACCESS_TOKEN=[redacted]"),
        ("key=s3cret&key=s3cret", "key=[redacted]&key=[redacted]"),
        ("pin=s3cret", "pin=[redacted]"),
        ("token", "token"),
        ("a=token=s", "a=token=s"),
    ],
)
def test_secret_parameters(query: str, logged: str) -> None:
    assert line(made(query), redact={"query": ["pin"]})["query"] == logged


def test_secret_headers_stay_secret_even_when_asked_for() -> None:
    exchange = made(headers=[("Authorization", "Bearer s3cret"), ("X-Pin", "s3cret"), ("X-Tenant", "acme")])
    assert exchange.response is not None
    exchange.response.headers.set("Set-Cookie", "sid=s3cret")
    exchange.response.headers.set("X-Cache", "HIT")
    found = line(
        exchange,
        fields=["status"],
        headers={"request": ["Authorization", "X-Pin", "X-Tenant", "X-None"], "response": ["Set-Cookie", "X-Cache"]},
        redact={"headers": ["x-pin"]},
    )
    assert found == {
        "status": 200,
        "request.authorization": "[redacted]",
        "request.x-pin": "[redacted]",
        "request.x-tenant": "acme",
        "response.set-cookie": "[redacted]",
        "response.x-cache": "HIT",
    }


def test_secrets_in_the_referer() -> None:
    exchange = made(headers=[("Referer", "https://a.example/?code=s3cret&x=1")])
    assert line(exchange, fields=["referer"]) == {"referer": "https://a.example/?code=[redacted]&x=1"}


def test_long_values_are_cut() -> None:
    assert line(made(path="/" + "a" * 100), max_value=16)["path"] == "/" + "a" * 15 + "…"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    quoted = quote(text)
    assert json.loads(quoted) == text
    assert quoted.isascii()
    assert quoted.isprintable()
