"""Answers of the gateway's own, through the harness."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import ValidationError

from gatewright_respond import plugin
from gatewright_respond.config import RespondConfig
from gatewright_sdk import ConnectFailed, Exchange, Overloaded, Request, Response
from gatewright_sdk.testing import FakeUpstream, Harness


def send(
    config: dict[str, Any], request: Request | None = None, answer: Any = None, **kwargs: Any
) -> tuple[Response, int]:
    """The response, and how many requests the upstream got."""
    upstream = FakeUpstream(answer)
    exchange: Exchange = asyncio.run(
        Harness.of(plugin, config, upstream=upstream).send(request or Request("GET", "/"), **kwargs)
    )
    assert exchange.response is not None
    return exchange.response, len(upstream.requests)


@pytest.mark.parametrize(
    ("config", "status", "kind", "body"),
    [
        ({"status": 204}, 204, None, b""),
        ({"body": "hi"}, 200, "text/plain; charset=utf-8", b"hi"),
        ({"status": 410, "body": "gone", "content_type": "text/html"}, 410, "text/html", b"gone"),
        ({"json": {"ok": True, "n": [1, None]}}, 200, "application/json", b'{"ok":true,"n":[1,null]}'),
        ({"json": None}, 200, "application/json", b"null"),
        ({"body": "é"}, 200, "text/plain; charset=utf-8", "é".encode()),
    ],
)
def test_fixed(config: dict[str, Any], status: int, kind: str | None, body: bytes) -> None:
    response, calls = send(config)
    assert (response.status, response.headers.get("content-type"), response.body, calls) == (status, kind, body, 0)


def test_answers_do_not_share_their_headers() -> None:
    async def run() -> None:
        harness = Harness.of(plugin, {"headers": {"X": ["1", "2"]}, "status": 200})
        first = (await harness.send()).response
        assert first is not None
        first.headers.add("Y", "3")
        second = (await harness.send()).response
        assert second is not None
        assert list(second.headers.items()) == [("X", "1"), ("X", "2")]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        ({"to": "https://new.example"}, "https://new.example?a=1&b=%20"),
        ({"to": "https://new.example/x", "keep_query": False}, "https://new.example/x"),
        ({"to": "https://{host}{path}"}, "https://old.example/p/7?a=1&b=%20"),
        ({"to": "/q/{params.id}?z=1"}, "/q/7?z=1&a=1&b=%20"),
        ({"to": "/new?was={path}&{query}"}, "/new?was=%2Fp%2F7&a=1&b=%20"),
    ],
)
def test_redirects(redirect: dict[str, Any], location: str) -> None:
    request = Request("GET", "/p/7", query="a=1&b=%20", host="old.example")
    response, calls = send({"redirect": {"status": 308, **redirect}}, request, params={"id": "7"})
    assert (response.status, calls) == (308, 0)
    assert response.headers["location"].replace("was=/p/7", "was=%2Fp%2F7") == location


@pytest.mark.parametrize("path", ["//evil.example", "//evil.example/%2f.."])
def test_a_path_never_becomes_a_host(path: str) -> None:
    response, _ = send({"redirect": {"to": "{path}"}}, Request("GET", path))
    assert response.headers["location"].startswith("/evil")


@pytest.mark.parametrize("host", ["evil.example@good.example", "a b", "", "x/y"])
def test_a_malformed_host_is_refused(host: str) -> None:
    assert send({"redirect": {"to": "https://{host}/"}}, Request("GET", "/", host=host))[0].status == 400


def test_maintenance() -> None:
    response, calls = send({"maintenance": {"retry_after": "2h"}})
    assert (response.status, calls, response.headers["retry-after"]) == (503, 0, "7200")
    assert json.loads(response.body or b"")["code"] == "maintenance"
    response, _ = send({"maintenance": {"body": "<p>later", "content_type": "text/html"}})
    assert (response.body, response.headers["content-type"], response.headers["retry-after"]) == (
        b"<p>later", "text/html", "300",
    )  # fmt: skip


@pytest.mark.parametrize(("client", "status"), [("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("11.0.0.1", 503)])
def test_maintenance_lets_some_through(client: str, status: int) -> None:
    assert send({"maintenance": {"allow": ["10.0.0.0/8"]}}, client=client)[0].status == status


@pytest.mark.parametrize(
    ("fallback", "error", "status", "body"),
    [
        ({"statuses": [502], "body": "soon"}, ConnectFailed("no"), 502, b"soon"),
        ({"codes": ["upstream-connect-failed"], "status": 200, "json": []}, ConnectFailed("no"), 200, b"[]"),
        ({"statuses": [503], "body": "soon"}, ConnectFailed("no"), 502, None),
    ],
)
def test_fallback(fallback: dict[str, Any], error: Exception, status: int, body: bytes | None) -> None:
    response, _ = send({"fallback": fallback}, answer=error)
    assert response.status == status
    if body is None:
        assert json.loads(response.body or b"")["code"] == "upstream-connect-failed"
    else:
        assert response.body == body


def test_a_fallback_keeps_what_tells_clients_when_to_come_back() -> None:
    response, _ = send({"fallback": {"statuses": [503], "body": "soon"}}, answer=Overloaded("full", retry_after=3))
    assert response.headers["retry-after"] == "3"
    assert response.headers["cache-control"] == "no-store"


def test_an_error_response_of_the_upstream_passes() -> None:
    response, _ = send({"fallback": {"statuses": [502], "body": "soon"}}, answer=Response(502, body=b"theirs"))
    assert response.body == b"theirs"


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "nothing to answer"),
        ({"status": 200, "redirect": {"to": "/"}}, "give one of these"),
        ({"body": "a", "json": 1}, "not both"),
        ({"status": 204, "body": "x"}, "has no body"),
        ({"status": 100}, "greater than"),
        ({"status": 200, "headers": {"Content-Length": "1"}}, "writes Content-Length itself"),
        ({"status": 200, "headers": {"X": "a\r\nb"}}, "header|field|value"),
        ({"content_type": "a/b"}, "no body to describe"),
        ({"redirect": {"to": "x"}}, "not a place"),
        ({"redirect": {"to": "//x"}}, "not a place"),
        ({"redirect": {"to": "https://{path}/"}}, "not a place"),
        ({"redirect": {"to": "/{nope}"}}, "nope"),
        ({"fallback": {"body": "x"}}, "answers for nothing"),
        ({"fallback": {"statuses": [502]}}, "says nothing"),
        ({"maintenance": {"allow": ["x"]}}, "appear to be"),
    ],
)
def test_what_is_refused(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        RespondConfig.model_validate(document)
