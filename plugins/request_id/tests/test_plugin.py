"""Ids through the filter, both ways."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from typing import Any

import pytest

from gatewright_request_id import plugin
from gatewright_sdk import ClientAddress, ConnectFailed, Exchange, Phase, Request, Response
from gatewright_sdk.testing import FakeClock, FakeUpstream, Harness

DIRECT = ClientAddress("198.51.100.7", 40000, "198.51.100.7")
PROXIED = ClientAddress("198.51.100.7", 0, "10.0.0.1", is_trusted=True)
HEX = re.compile("[0-9a-f]{32}")


def harness(config: dict[str, Any] | None = None, upstream: FakeUpstream | None = None) -> Harness:
    return Harness.of(plugin, config, upstream=upstream)


def send(harness: Harness, inbound: list[str] | None = None, client: ClientAddress = DIRECT) -> Exchange:
    headers = [("Accept", "*/*"), *(("x-request-ID", value) for value in inbound or ()), ("Z", "1")]
    return asyncio.run(harness.send(headers=headers, client=client))


def on_response(exchange: Exchange) -> list[str]:
    assert exchange.response is not None
    return exchange.response.headers.get_all("X-Request-Id")


def test_an_id_goes_to_the_upstream_and_to_the_client() -> None:
    under_test = harness()
    exchange = send(under_test)
    assert HEX.fullmatch(exchange.id)
    assert under_test.upstream.requests[0].headers.get_all("x-request-id") == [exchange.id]
    assert on_response(exchange) == [exchange.id]
    assert send(under_test).id != exchange.id


@pytest.mark.parametrize(
    ("trust", "client", "is_kept"),
    [
        ("never", DIRECT, False),
        ("never", PROXIED, False),
        ("trusted_proxies", DIRECT, False),
        ("trusted_proxies", PROXIED, True),
        ("always", DIRECT, True),
        ("always", PROXIED, True),
        (None, DIRECT, False),
        (None, PROXIED, True),
    ],
)
def test_whose_id_is_kept(trust: str | None, client: ClientAddress, is_kept: bool) -> None:
    under_test = harness({} if trust is None else {"trust": trust})
    exchange = send(under_test, ["inbound-1"], client)
    assert (exchange.id == "inbound-1") is is_kept
    assert is_kept or HEX.fullmatch(exchange.id)
    assert under_test.upstream.requests[0].headers.get_all("x-request-id") == [exchange.id]
    assert on_response(exchange) == [exchange.id]


@pytest.mark.parametrize("value", ["a", "A.b_c~d+e/f=g-1", "0" * 128, str(uuid.uuid4())])
def test_ids_that_may_be_kept(value: str) -> None:
    assert send(harness({"trust": "always"}), [value]).id == value


@pytest.mark.parametrize(
    "value", ["", "0" * 129, "a b", "a,b", "a;b", 'a"b', "<a>", "a\tb", "ä", "{}", "$(x)", "`x`", "a\\b", "%00"]
)
def test_ids_that_are_replaced_whoever_sends_them(value: str) -> None:
    under_test = harness({"trust": "always"})
    exchange = send(under_test, [value])
    assert HEX.fullmatch(exchange.id)
    assert under_test.upstream.requests[0].headers.get_all("x-request-id") == [exchange.id]


def test_of_several_inbound_ids_one_is_left() -> None:
    under_test = harness({"trust": "always"})
    exchange = send(under_test, ["first", "second"])
    assert exchange.id == "first"
    assert list(under_test.upstream.requests[0].headers.items()) == [
        ("Accept", "*/*"), ("X-Request-Id", "first"), ("Z", "1"),
    ]  # fmt: skip


def test_the_field_may_have_another_name() -> None:
    under_test = harness({"header": "X-Correlation-Id"})
    exchange = send(under_test, ["inbound"], PROXIED)
    headers = under_test.upstream.requests[0].headers
    assert (headers["x-correlation-id"], headers["x-request-id"]) == (exchange.id, "inbound")
    assert exchange.response is not None
    assert exchange.response.headers["X-Correlation-Id"] == exchange.id


def test_the_upstreams_own_id_is_replaced_on_the_response() -> None:
    upstream = FakeUpstream(Response(200, [("X-Request-ID", "theirs"), ("x-request-id", "again"), ("A", "1")]))
    exchange = send(harness(upstream=upstream))
    assert on_response(exchange) == [exchange.id]
    assert exchange.response is not None
    assert exchange.response.headers["a"] == "1"


def test_the_response_may_go_without() -> None:
    upstream = FakeUpstream(Response(200, [("X-Request-Id", "theirs")]))
    under_test = harness({"respond": False}, upstream)
    exchange = send(under_test)
    assert on_response(exchange) == ["theirs"]
    assert under_test.upstream.requests[0].headers["x-request-id"] == exchange.id
    assert under_test.filters[0].hooks() == ("on_request",)


def test_errors_carry_the_same_id_as_their_document() -> None:
    exchange = send(harness(upstream=FakeUpstream(ConnectFailed())))
    assert exchange.response is not None
    assert json.loads(exchange.response.body or b"")["request_id"] == exchange.id
    assert on_response(exchange) == [exchange.id]


def test_an_answer_from_before_this_filter_carries_an_id_too() -> None:
    under_test = harness()
    exchange = Exchange(Request(), DIRECT)
    exchange.response = Response(403)
    under_test.filters[0].on_response(exchange)
    assert on_response(exchange) == [exchange.id]


def test_an_id_that_another_plugin_has_spoiled_does_not_reach_the_wire() -> None:
    under_test = harness()
    exchange = Exchange(Request(), DIRECT)
    exchange.response = Response(200)
    exchange.id = "a\r\nSet-Cookie: x=1"
    with pytest.raises(ValueError, match="control character"):
        under_test.filters[0].on_response(exchange)
    assert list(exchange.response.headers.items()) == []


@pytest.mark.parametrize(("format", "version"), [("uuid4", 4), ("uuid7", 7)])
def test_formats(format: str, version: int) -> None:
    made = uuid.UUID(send(harness({"format": format})).id)
    assert made.int >> 76 & 0xF == version


def test_time_ordered_ids_take_the_time_of_the_gateway() -> None:
    async def run() -> str:
        clock = FakeClock(time=1_700_000_000.5)
        async with Harness.of(plugin, {"format": "uuid7"}, clock=clock) as under_test:
            return (await under_test.send()).id

    assert uuid.UUID(asyncio.run(run())).int >> 80 == 1_700_000_000_500


def test_it_runs_at_the_edge() -> None:
    assert plugin.name == "request-id"
    assert harness().filters[0].phase is Phase.EDGE
