"""Requests and responses: bodies read up to a limit, queries, cookies, ready-made responses."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright_sdk import BodyTooLarge, GatewayError, Headers, Request, Response, UpstreamTimeout


def reads(message: Request | Response, body: bytes, limits: list[int]) -> None:
    async def read(limit: int) -> bytes:
        limits.append(limit)
        return body

    message.body = None
    message._reader = read


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [(Request(), 413, "body-too-large"), (Response(), 502, "upstream-body-too-large")],
    ids=["request", "response"],
)
def test_read_keeps_the_body_and_holds_it_against_every_limit(
    message: Request | Response, status: int, code: str
) -> None:
    limits: list[int] = []
    reads(message, b"12345", limits)
    assert asyncio.run(message.read(5)) == message.body == b"12345"
    assert asyncio.run(message.read(9)) == b"12345"
    assert limits == [5], "the second reader gets what the first has read"
    with pytest.raises(BodyTooLarge) as caught:
        asyncio.run(message.read(4))
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize("message", [Request(), Response(body=None)], ids=["request", "response"])
def test_reading_a_message_without_a_body_gives_none(message: Request | Response) -> None:
    assert asyncio.run(message.read(0)) == b""


@pytest.mark.parametrize(
    ("body", "has_body", "length"),
    [(None, False, None), (b"", True, 0), (b"abc", True, 3)],
    ids=["none", "empty", "some"],
)
def test_a_request_knows_its_body(body: bytes | None, has_body: bool, length: int | None) -> None:
    request = Request(body=body)
    assert (request.has_body, request.content_length) == (has_body, length)


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("", []),
        ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("a=&b", [("a", ""), ("b", "")]),
        ("a=x+y&b=%26%3D", [("a", "x y"), ("b", "&=")]),
    ],
)
def test_query_params(query: str, params: list[tuple[str, str]]) -> None:
    assert Request(query=query).query_params() == params


@settings(max_examples=60)
@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=4))
def test_query_params_survive_a_round_trip(params: list[tuple[str, str]]) -> None:
    request = Request()
    request.set_query_params(params)
    assert request.query.isascii()
    assert request.query_params() == params


@pytest.mark.parametrize(
    ("lines", "cookies"),
    [
        ([], {}),
        (["a=1; b=2"], {"a": "1", "b": "2"}),
        (["a=1", "b=2"], {"a": "1", "b": "2"}),
        (["a=1; a=2"], {"a": "1"}),
        (['a="x y"; broken; c=d=e'], {"a": "x y", "c": "d=e"}),
        ([";;"], {}),
    ],
)
def test_cookies(lines: list[str], cookies: dict[str, str]) -> None:
    assert Request(headers=Headers([("Cookie", line) for line in lines])).cookies() == cookies


def test_ready_made_responses() -> None:
    text = Response.text(200, "café")
    assert (text.body, text.headers["content-type"]) == ("café".encode(), "text/plain; charset=utf-8")
    document = Response.json(201, {"a": [1]}, {"Content-Type": "application/vnd.x+json"})
    assert (document.body, document.headers.get_all("content-type")) == (b'{"a":[1]}', ["application/vnd.x+json"])
    assert text.is_local
    assert document.status == 201


def test_a_response_keeps_the_headers_it_is_given() -> None:
    headers = Headers([("A", "1")])
    assert Response(headers=headers).headers is headers


@pytest.mark.parametrize(
    ("retry_after", "sent"), [(None, None), (0.0, "1"), (0.2, "1"), (1.0, "1"), (1.4, "2"), (2.5, "3"), (60, "60")]
)
def test_retry_after_is_never_too_early(retry_after: float | None, sent: str | None) -> None:
    response = Response.problem(GatewayError(retry_after=retry_after), "id")
    assert response.headers.get("retry-after") == sent


def test_a_problem_response() -> None:
    error = UpstreamTimeout("first_byte", 2.5)
    response = Response.problem(error, "id-1")
    assert response.status == 504
    assert response.error is error
    assert response.is_local
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["proxy-status"] == "gatewright; error=connection_timeout"
    assert json.loads(response.body or b"") == {
        "type": "https://gatewright.dev/problems/upstream-first-byte-timeout",
        "title": "Gateway Timeout",
        "status": 504,
        "detail": "The route's first_byte timeout of 2.5 s expired.",
        "code": "upstream-first-byte-timeout",
        "request_id": "id-1",
        "timeout": "first_byte",
        "seconds": 2.5,
    }


def test_a_problem_without_a_proxy_status_type_has_no_such_field() -> None:
    assert "proxy-status" not in Response.problem(GatewayError(), "").headers
