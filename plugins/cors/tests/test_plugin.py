"""Preflights and responses through the filter, the gateway's own responses included."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gatewright_cors import plugin
from gatewright_sdk import (
    BodyTooLarge,
    ClientError,
    ConnectFailed,
    Exchange,
    Filter,
    GatewayError,
    Headers,
    NoTarget,
    Overloaded,
    Phase,
    PluginConfig,
    Request,
    RequestTimeout,
    Response,
    RouteNotFound,
    UpstreamTimeout,
)
from gatewright_sdk.testing import FakeUpstream, Harness

APP = "https://app.example.com"
STRANGER = "https://stranger.example"
OPTIONS = {"origins": [APP], "credentials": True, "expose_headers": ["X-Request-Id"]}


def cors(**options: Any) -> Filter[Any]:
    kind = plugin.filter
    assert kind is not None
    return kind(kind.config_model.model_validate({**OPTIONS, **options}))


def request(
    method: str = "GET", host: str = "api.example.com", scheme: str = "https", **headers: str | None
) -> Request:
    fields = [(name.replace("_", "-"), value) for name, value in headers.items() if value is not None]
    return Request(method, "/", host=host, scheme=scheme, headers=Headers(fields))


def preflight(origin: str | None = APP, **headers: str) -> Request:
    return request("OPTIONS", origin=origin, access_control_request_method="PUT", **headers)


def send(filters: list[Filter[Any]], sent: Request, upstream: FakeUpstream | None = None) -> tuple[Exchange, Response]:
    harness = Harness(*filters, upstream=upstream)
    exchange = asyncio.run(harness.send(sent))
    assert exchange.response is not None
    assert harness.failures == []
    return exchange, exchange.response


class Refuses(Filter[PluginConfig]):
    """Stands for authentication: a preflight that comes here is lost."""

    phase = Phase.IDENTIFY

    def on_request(self, exchange: Exchange) -> None:
        raise ClientError("Who are you?", status=401, code="no-credentials")


REFUSES = Refuses(PluginConfig())


def test_a_preflight_is_answered_before_authentication() -> None:
    upstream = FakeUpstream()
    _, response = send([cors(), REFUSES], preflight(access_control_request_headers="authorization"), upstream)
    assert (response.status, response.body, upstream.requests) == (204, b"", [])
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-allow-headers"] == "authorization"
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers.get_list("vary") == [
        "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "sent",
    [
        request("OPTIONS", origin=APP),
        request("OPTIONS", access_control_request_method="PUT"),
        request("GET", origin=APP, access_control_request_method="PUT"),
        request("options", origin=APP, access_control_request_method="PUT"),
        request("OPTIONS"),
    ],
    ids=["no requested method", "no origin", "GET", "another method", "bare"],
)
def test_what_is_no_preflight_goes_to_the_upstream(sent: Request) -> None:
    upstream = FakeUpstream(Response(200, {"Allow": "GET"}))
    _, response = send([cors()], sent, upstream)
    assert (response.headers["allow"], len(upstream.requests)) == ("GET", 1)
    assert "access-control-allow-methods" not in response.headers
    assert response.headers["vary"] == "Origin"
    assert response.headers.get("access-control-allow-origin") == sent.headers.get("origin")


def test_a_preflight_may_go_on_to_the_upstream() -> None:
    upstream = FakeUpstream(Response(200, {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "X"}))
    _, response = send([cors(preflight_continue=True)], preflight(), upstream)
    assert (response.status, len(upstream.requests)) == (200, 1)
    assert response.headers.get_all("access-control-allow-origin") == [APP]
    assert response.headers.get_all("access-control-allow-methods") == ["GET, HEAD, POST, PUT, PATCH, DELETE"]


def test_a_preflight_from_elsewhere_gets_an_answer_that_allows_nothing() -> None:
    _, response = send([cors(), REFUSES], preflight(STRANGER))
    assert response.status == 204
    assert [name for name in response.headers if name.lower().startswith("access-control-")] == []
    assert "Origin" in response.headers.get_list("vary")


# -- every response that the gateway makes itself -----------------------------------------------------

LOCAL_REPLIES: list[GatewayError] = [
    ClientError(status=401, code="no-credentials"),
    ClientError(status=403, code="not-allowed"),
    RouteNotFound(),
    RequestTimeout(),
    BodyTooLarge(),
    ClientError(status=429, code="rate-limited", retry_after=3),
    GatewayError(),
    ConnectFailed(),
    Overloaded(),
    NoTarget(),
    UpstreamTimeout("first_byte", 1.0),
]


class Fails(Filter[PluginConfig]):
    """Fails at one place with one error."""

    def __init__(self, hook: str, error: GatewayError) -> None:
        super().__init__(PluginConfig())
        self._hook = hook
        self._error = error

    def _at(self, hook: str) -> None:
        if self._hook == hook:
            raise self._error

    def on_request(self, exchange: Exchange) -> Response | None:
        self._at("on_request")
        return Response.problem(self._error, exchange.id) if self._hook == "answer" else None

    def on_request_chunk(self, exchange: Exchange, chunk: bytes) -> None:
        self._at("on_request_chunk")

    def on_response(self, exchange: Exchange) -> None:
        self._at("on_response")

    def on_error(self, exchange: Exchange, error: GatewayError) -> Response | None:
        return Response.text(error.status, "page") if self._hook == "on_error" else None


@pytest.mark.parametrize("place", ["upstream", "answer", "on_request", "on_request_chunk", "on_response", "on_error"])
@pytest.mark.parametrize("error", LOCAL_REPLIES, ids=lambda error: str(error.status))
@pytest.mark.parametrize("origin", [APP, STRANGER, None])
def test_cors_stands_on_every_local_reply(error: GatewayError, place: str, origin: str | None) -> None:
    upstream = FakeUpstream(error if place in ("upstream", "on_error") else None)
    exchange, response = send([cors(), Fails(place, error)], request(origin=origin), upstream)
    assert response.status == error.status
    assert response.is_local
    assert response.headers.get("access-control-allow-origin") == (APP if origin == APP else None)
    assert response.headers.get("access-control-allow-credentials") == ("true" if origin == APP else None)
    assert response.headers.get("access-control-expose-headers") == ("X-Request-Id" if origin == APP else None)
    assert response.headers.get_all("vary") == ["Origin"]


def test_the_table_has_the_statuses_that_matter() -> None:
    assert {error.status for error in LOCAL_REPLIES} == {401, 403, 404, 408, 413, 429, 500, 502, 503, 504}


def test_a_hook_that_has_a_bug_does_not_look_like_a_cors_error() -> None:
    class Buggy(Filter[PluginConfig]):
        def on_request(self, exchange: Exchange) -> None:
            raise RuntimeError("a bug")

    harness = Harness(cors(), Buggy(PluginConfig()))
    exchange = asyncio.run(harness.send(request(origin=APP)))
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.headers["access-control-allow-origin"]) == (500, APP)


def test_an_answer_from_before_this_filter_gets_its_fields_too() -> None:
    class Answers(Filter[PluginConfig]):
        def on_request(self, exchange: Exchange) -> Response:
            return Response(403)

    first = Answers(PluginConfig())
    assert send([first, cors()], request(origin=APP))[1].headers["access-control-allow-origin"] == APP
    assert send([first, cors()], request())[1].headers["vary"] == "Origin"
    assert send([first, cors()], preflight())[1].headers["access-control-max-age"] == "600"


# -- the upstream's responses -------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [APP, STRANGER, None])
@pytest.mark.parametrize("status", [200, 204, 206, 301, 304, 404, 500])
def test_cors_stands_on_every_response_of_the_upstream(status: int, origin: str | None) -> None:
    theirs = [("Vary", "Accept-Encoding"), ("Access-Control-Allow-Origin", "*"), ("access-control-max-age", "1")]
    _, response = send([cors()], request(origin=origin), FakeUpstream(Response(status, theirs)))
    assert response.status == status
    assert response.headers.get_all("access-control-allow-origin") == ([APP] if origin == APP else [])
    assert "access-control-max-age" not in response.headers
    assert response.headers.get_all("vary") == ["Accept-Encoding, Origin"]


def test_what_another_plugin_does_to_the_request_changes_nothing() -> None:
    class Rewrites(Filter[PluginConfig]):
        def on_request(self, exchange: Exchange) -> None:
            exchange.request.headers.set("Origin", STRANGER)
            exchange.request.method = "OPTIONS"

    _, response = send([cors(), Rewrites(PluginConfig())], request(origin=APP))
    assert response.headers["access-control-allow-origin"] == APP


def test_two_attachments_keep_apart() -> None:
    _, response = send([cors(), cors(origins=[STRANGER])], request(origin=APP))
    assert response.headers.get_all("access-control-allow-origin") == [APP]


# -- origins that are not allowed -----------------------------------------------------------------------


@pytest.mark.parametrize("sent", [request(origin=STRANGER), preflight(STRANGER), request("POST", origin="null")])
def test_a_request_from_elsewhere_may_be_rejected(sent: Request) -> None:
    upstream = FakeUpstream()
    exchange, response = send([cors(on_disallowed="reject")], sent, upstream)
    assert (response.status, upstream.requests) == (403, [])
    assert exchange.error is not None
    assert exchange.error.code == "origin-not-allowed"
    assert "access-control-allow-origin" not in response.headers
    assert "Origin" in response.headers.get_list("vary")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(), 200),
        (request(origin=APP), 200),
        (preflight(), 204),
        (request("POST", origin="https://api.example.com"), 200),
        (request("POST", host="api.example.com:443", origin="https://api.example.com"), 200),
        (request("POST", host="api.example.com:8443", origin="https://api.example.com:8443"), 200),
        (request("POST", host="api.example.com:80", scheme="http", origin="http://api.example.com"), 200),
        (request("POST", origin="http://api.example.com"), 403),
        (request("POST", host="api.example.com:8443", origin="https://api.example.com"), 403),
        (request("POST", host="api.example.com:80", origin="https://api.example.com"), 403),
        (request("POST", host="", origin="https://"), 403),
    ],
)
def test_a_request_from_the_routes_own_origin_passes(sent: Request, status: int) -> None:
    assert send([cors(on_disallowed="reject")], sent)[1].status == status


def test_a_request_from_elsewhere_passes_unless_told_otherwise() -> None:
    upstream = FakeUpstream()
    _, response = send([cors()], request(origin=STRANGER), upstream)
    assert (response.status, len(upstream.requests)) == (200, 1)
    assert "access-control-allow-origin" not in response.headers


def test_its_place() -> None:
    filter = cors()
    assert plugin.name == "cors"
    assert (filter.phase, filter.after, filter.hooks()) == (Phase.EDGE, ("request-id",), ("on_request", "on_response"))
