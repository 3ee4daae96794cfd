"""The filter through the harness: what the upstream gets, and what the client gets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gatewright_sdk import EventParser, Exchange, Headers, Identity, Request, Response
from gatewright_sdk.testing import FakeUpstream, Harness
from gatewright_transform import plugin
from gatewright_transform.codings import Codec, TooLarge, Undecodable
from gatewright_transform.config import TransformConfig


def send(
    config: dict[str, Any],
    request: Request | None = None,
    answer: Response | None = None,
    chunks: list[bytes] | None = None,
    **kwargs: Any,
) -> tuple[Exchange, Request, bytes]:
    """The exchange, and what the upstream got."""
    upstream = FakeUpstream(answer or Response(200, body=b"ok"), chunks=chunks)
    harness = Harness.of(plugin, config, upstream=upstream)
    exchange = asyncio.run(harness.send(request or Request("GET", "/"), **kwargs))
    assert harness.failures == []
    sent = upstream.requests[0] if upstream.requests else Request()
    return exchange, sent, upstream.bodies[0] if upstream.bodies else b""


def json_request(text: bytes, *more: tuple[str, str]) -> Request:
    return Request("POST", "/", headers=Headers([("Content-Type", "application/json"), *more]), body=text)


def json_response(text: bytes, *more: tuple[str, str], kind: str = "application/json", status: int = 200) -> Response:
    return Response(status, [("Content-Type", kind), *more], text)


HEADERS = [("A", "1"), ("b", "2"), ("B", "3"), ("C", "4")]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"remove": ["a", "x"]}, [("b", "2"), ("B", "3"), ("C", "4")]),
        ({"rename": {"b": "N"}}, [("A", "1"), ("N", "2"), ("N", "3"), ("C", "4")]),
        ({"replace": {"B": "x", "Z": "x"}}, [("A", "1"), ("B", "x"), ("C", "4")]),
        ({"add": {"a": "x", "Z": "x"}}, [*HEADERS, ("Z", "x")]),
        ({"set": {"b": "x", "Z": "y"}}, [("A", "1"), ("C", "4"), ("b", "x"), ("Z", "y")]),
        ({"append": {"a": "x"}}, [*HEADERS, ("a", "x")]),
        ({"allow": ["a", "c"]}, [("A", "1"), ("C", "4")]),
        ({"allow": ["a"], "add": {"Z": "x"}}, [("A", "1"), ("Z", "x")]),
        ({"remove": ["A"], "rename": {"C": "A"}}, [("b", "2"), ("B", "3"), ("A", "4")]),
        ({"set": {"Z": "{request.header.c}-{{x}}"}}, [*HEADERS, ("Z", "4-{x}")]),
    ],
)
def test_headers(rules: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    _, sent, _ = send({"request": {"headers": rules}}, Request("GET", "/", headers=Headers(HEADERS)))
    assert list(sent.headers.items()) == expected
    exchange, _, _ = send(
        {"response": {"headers": rules}}, Request("GET", "/", headers=Headers({"c": "4"})), Response(200, HEADERS)
    )
    assert exchange.response is not None
    assert list(exchange.response.headers.items()) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{client.ip}", "198.51.100.7"),
        ("{identity.subject}/{identity.tenant}", "ann/"),
        ("{request.method} {request.scheme}://{request.host}{request.path}?{request.query}", "GET http://h/a%20b?q=1%0d%0aX:y"),
        ("{request.query.q}", "1X:y"),
        ("{path.id}", "7"),
        ("{route.name}", "route"),
        ("{request.header.none}", ""),
        ("ü€", "Ã¼â\x82¬"),
    ],
)  # fmt: skip
def test_values(value: str, expected: str) -> None:
    request = Request("GET", "/a%20b", query="q=1%0d%0aX:y", host="h")
    _, sent, _ = send(
        {"request": {"headers": {"set": {"V": value}}}}, request, identity=Identity("ann"), params={"id": "7"}
    )
    assert sent.headers.get("v") == expected


@given(st.text(max_size=20))
@settings(max_examples=50, deadline=None)
def test_no_value_makes_a_line(text: str) -> None:
    request = Request("GET", "/")
    request.set_query_params([("q", text.encode("utf-8", "replace").decode())])
    _, sent, _ = send({"request": {"headers": {"set": {"V": "{request.query.q}"}}}}, request)
    assert all(byte not in value for _, value in sent.headers.raw for byte in b"\r\n\0")


@pytest.mark.parametrize(
    ("query", "rules", "expected"),
    [
        ("a=1&b=%20x&a=2", {"remove": ["a"]}, "b=%20x"),
        ("a=1&b=%7e", {"rename": {"a": "c d"}}, "c+d=1&b=%7e"),
        ("a=1&b=2&a=3", {"replace": {"a": "x y", "z": "1"}}, "a=x+y&b=2"),
        ("a=1", {"add": {"a": "2", "b": "&"}}, "a=1&b=%26"),
        ("a=1&b=2", {"set": {"a": "9", "c": "3"}}, "a=9&b=2&c=3"),
        ("a=1", {"append": {"a": "2"}}, "a=1&a=2"),
        ("a=1&b=2&c", {"allow": ["b", "c"]}, "b=2&c"),
        ("", {"set": {"a": "1"}}, "a=1"),
    ],
)
def test_query(query: str, rules: dict[str, Any], expected: str) -> None:
    assert send({"request": {"query": rules}}, Request("GET", "/", query=query))[1].query == expected


def test_path() -> None:
    request = Request("GET", "/users/a%2Fb", query="v=x/y%20z")
    _, sent, _ = send({"request": {"path": "/v2/{path.id}/{request.query.v}"}}, request, params={"id": "a%2Fb"})
    assert sent.path == "/v2/a%2Fb/x%2Fy%20z"
    request = Request("GET", "/users/a%2Fb")
    assert send({"request": {"path": "{request.path}/x"}}, request)[1].path == "/users/a%2Fb/x"


def test_a_path_does_not_climb() -> None:
    exchange, _, _ = send({"request": {"path": "/v2/{request.query.v}"}}, Request("GET", "/", query="v=.."))
    assert exchange.response is not None
    assert exchange.response.status == 400


def _unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


CODINGS: list[tuple[str, Any, Any]] = [
    ("", lambda data: data, lambda data: data),
    ("gzip", gzip.compress, gzip.decompress),
    ("deflate", zlib.compress, zlib.decompress),
    ("br", brotli.compress, brotli.decompress),
    ("zstd", zstandard.ZstdCompressor().compress, _unzstd),
    (
        "gzip, br",
        lambda data: brotli.compress(gzip.compress(data)),
        lambda data: gzip.decompress(brotli.decompress(data)),
    ),
]
RULES = {"body": {"remove": ["$.secret"], "add": {"$.by": "gw"}}}


@pytest.mark.parametrize(("coding", "encode", "decode"), CODINGS, ids=[each[0] for each in CODINGS])
def test_bodies_in_every_coding(coding: str, encode: Any, decode: Any) -> None:
    text = b'{"secret": 1, "a": [1, 2.50]}'
    header = [("Content-Encoding", coding)] if coding else []
    _, sent, body = send({"request": RULES}, json_request(encode(text), *header, ("Content-MD5", "x")))
    assert decode(body) == b'{"a":[1,2.50],"by":"gw"}'
    assert "content-md5" not in sent.headers
    answer = json_response(encode(text), *header, ("ETag", '"v1"'), ("Content-Digest", "x"))
    for chunks in (None, [encode(text)[:7], encode(text)[7:]]):
        exchange, _, _ = send({"response": RULES}, answer=answer, chunks=chunks)
        assert exchange.response is not None
        assert exchange.response.body is not None
        assert decode(exchange.response.body) == b'{"a":[1,2.50],"by":"gw"}'
        assert exchange.response.headers.get("etag") == 'W/"v1"'
        assert "content-digest" not in exchange.response.headers


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, [("Content-Type", "text/plain")], b'{"secret":1}'),
        Response(200, [], b'{"secret":1}'),
        json_response(b'{"secret":1}', ("Content-Encoding", "snappy")),
        json_response(b'{"secret":1}', status=206),
        json_response(b"{ broken"),
        json_response(b'{ "by":1 }'),
        json_response(b"\xff", ("Content-Encoding", "gzip")),
    ],
)
def test_what_passes_untouched(answer: Response) -> None:
    exchange, _, _ = send({"response": RULES}, answer=answer)
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.body) == (answer.status, answer.body)


def test_statuses() -> None:
    rules = {"response": {**RULES, "when": {"status": ["4xx", 200]}, "headers": {"set": {"T": "1"}}}}
    for status, is_changed in ((200, True), (404, True), (201, False), (500, False)):
        exchange, _, _ = send(rules, answer=json_response(b'{"secret":1}', status=status))
        assert exchange.response is not None
        assert ("t" in exchange.response.headers) == is_changed
        assert exchange.response.body == (b'{"by":"gw"}' if is_changed else b'{"secret":1}')


@pytest.mark.parametrize(("mode", "statuses"), [("error", (413, 502)), ("pass", (200, 200))])
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_bodies_that_are_too_large(mode: str, statuses: tuple[int, int], coding: str) -> None:
    rules = {"body": {"remove": ["$.a"], "max_size": "1KiB", "on_oversize": mode}}
    text = b'{"a":"' + b"x" * 5000 + b'"}'
    header = [("Content-Encoding", coding)] if coding else []
    data = gzip.compress(text) if coding else text
    exchange, _, body = send({"request": rules}, json_request(data, *header))
    assert exchange.response is not None
    assert exchange.response.status == statuses[0]
    assert body == (data if mode == "pass" else b"")
    exchange, _, _ = send({"response": rules}, answer=json_response(data, *header))
    assert exchange.response is not None
    assert exchange.response.status == statuses[1]
    if mode == "pass":
        assert exchange.response.body == data


@pytest.mark.parametrize(("mode", "statuses"), [("error", (400, 502)), ("pass", (200, 200))])
def test_bodies_that_are_no_json(mode: str, statuses: tuple[int, int]) -> None:
    rules = {"body": {"remove": ["$.a"], "on_invalid": mode}}
    exchange, _, _ = send({"request": rules}, json_request(b"{"))
    assert exchange.response is not None
    assert exchange.response.status == statuses[0]
    exchange, _, _ = send({"response": rules}, answer=json_response(b"{"))
    assert exchange.response is not None
    assert exchange.response.status == statuses[1]


@pytest.mark.parametrize(("coding", "encode"), [(c, e) for c, e, _ in CODINGS if c])
def test_a_bomb_is_not_unpacked(coding: str, encode: Any) -> None:
    codec = Codec(coding.replace(" ", "").split(","))
    with pytest.raises(TooLarge):
        codec.decode(encode(b"\0" * 50_000_000), 10_000)


@given(st.sampled_from(["gzip", "deflate", "br", "zstd"]), st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(coding: str, data: bytes) -> None:
    codec = Codec([coding])
    with contextlib.suppress(TooLarge, Undecodable):
        assert len(codec.decode(data, 1000)) <= 1000


EVENTS = b'data: {"secret":1,"n":1}\n\nevent: x\nid: 7\ndata: {"n":2}\n\n: ping\n\ndata: [DONE]\n\n'
CHANGED_EVENTS = ['{"n":1,"by":"gw"}', '{"n":2,"by":"gw"}', None, "[DONE]"]
LINES = b'{"secret":1,"n":1}\n\nnot json\n\x1e{"n":2}\r\n{"n":3}'
CHANGED_LINES = b'{"n":1,"by":"gw"}\n\nnot json\n\x1e{"n":2,"by":"gw"}\r\n{"n":3,"by":"gw"}'


@given(st.lists(st.integers(1, 20), max_size=20), st.sampled_from(CODINGS))
@settings(max_examples=60, deadline=None)
def test_streams_however_they_are_cut(sizes: list[int], coding: tuple[str, Any, Any]) -> None:
    name, encode, decode = coding
    header = [("Content-Encoding", name)] if name else []
    for kind, text in (("text/event-stream", EVENTS), ("application/x-ndjson", LINES)):
        data, chunks = encode(text), []
        for size in sizes:
            chunks.append(data[:size])
            data = data[size:]
        answer = json_response(encode(text), *header, kind=kind)
        exchange, _, _ = send({"response": RULES}, answer=answer, chunks=[*filter(None, chunks), data])
        assert exchange.response is not None
        body = decode(exchange.response.body)
        if kind == "application/x-ndjson":
            assert body == CHANGED_LINES
        else:
            assert [event.data for event in EventParser().feed(body)] == CHANGED_EVENTS


def test_each_event_goes_on_at_once() -> None:
    lines = [b'{"n":%d}\n' % number for number in range(3)]
    compress = zlib.compressobj(wbits=31)
    flushed = [compress.compress(line) + compress.flush(zlib.Z_SYNC_FLUSH) for line in lines]
    upstream = FakeUpstream(
        json_response(b"".join(flushed), ("Content-Encoding", "gzip"), kind="application/x-ndjson"), chunks=flushed
    )
    harness = Harness.of(plugin, {"response": RULES}, upstream=upstream)
    asyncio.run(harness.send(Request("GET", "/")))
    decoder = zlib.decompressobj(31)
    decoded = [decoder.decompress(piece) for piece in harness.sent]
    assert [piece for piece in decoded if piece] == [b'{"n":%d,"by":"gw"}\n' % number for number in range(3)]


def test_a_line_that_is_too_long_passes() -> None:
    rules = {"body": {"remove": ["$.a"], "max_size": 20}}
    text = b'{"a":1}\n{"a":"' + b"x" * 100 + b'"}\n{"a":2}\n'
    for chunks in (None, [text[:40], text[40:90], text[90:]]):
        exchange, _, _ = send({"response": rules}, answer=json_response(text, kind="application/jsonl"), chunks=chunks)
        assert exchange.response is not None
        assert exchange.response.body == b'{}\n{"a":"' + b"x" * 100 + b'"}\n{}\n'


def test_a_config_has_the_hooks_that_it_needs() -> None:
    def hooks(document: dict[str, Any]) -> tuple[str, ...]:
        return Harness.of(plugin, document).filters[0].hooks()

    assert hooks({}) == ()
    assert hooks({"request": {"headers": {"remove": ["a"]}}}) == ("on_request",)
    assert hooks({"request": {"path": "/x"}}) == ("on_request",)
    assert hooks({"response": {"headers": {"remove": ["a"]}}}) == ("on_response",)
    assert hooks({"response": {"body": {}}}) == ("on_response", "on_response_chunk", "on_response_event")


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"request": {"headers": {"set": {"Host": "x"}}}}, "host_header"),
        ({"request": {"headers": {"remove": ["content-length"]}}}, "cannot be changed here"),
        ({"response": {"headers": {"rename": {"A": "Connection"}}}}, "cannot be changed here"),
        ({"request": {"headers": {"set": {"a b": "x"}}}}, "not a field name"),
        ({"request": {"headers": {"rename": {"a": "b:"}}}}, "not a field name"),
        ({"request": {"headers": {"set": {"A": "{nope}"}}}}, "not known"),
        ({"request": {"query": {"set": {"A": "{"}}}}, "lone"),
        ({"request": {"path": "x"}}, "must start with /"),
        ({"request": {"body": {"remove": ["$.["]}}}, "not a JSONPath"),
        ({"request": {"body": {"add": {"$.a[*]": 1}}}}, "must end in the name"),
        ({"request": {"body": {"remove": ["$"]}}}, "whole document"),
        ({"request": {"bdoy": {}}}, "Extra inputs"),
        ({"response": {"when": {"status": ["teapot"]}}}, "not a status"),
        ({"response": {"body": {"max_size": 0}}}, "greater than"),
    ],
)
def test_what_is_refused(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TransformConfig.model_validate(document)


def test_the_schema_can_be_written() -> None:
    assert json.dumps(TransformConfig.model_json_schema())
