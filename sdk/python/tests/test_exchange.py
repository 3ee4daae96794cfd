"""The exchange: its id, its typed state, and who is behind it."""

from __future__ import annotations

import ipaddress

import pytest

from gatewright_sdk import NO_ROUTE, ClientAddress, Exchange, Identity, Request, StateKey


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(Request(), ClientAddress("192.0.2.1"), 5.0)


def test_state_keys_are_apart_even_with_one_name(exchange: Exchange) -> None:
    first, second = StateKey[int]("same"), StateKey[str]("same")
    assert first.get(exchange) is None
    first.set(exchange, 1)
    assert (first.get(exchange), second.get(exchange)) == (1, None)
    second.set(exchange, "x")
    assert (first.get(exchange), second.get(exchange)) == (1, "x")


def test_state_belongs_to_one_exchange(exchange: Exchange) -> None:
    key = StateKey[int]("key")
    key.set(exchange, 1)
    assert key.get(Exchange(Request(), exchange.client)) is None


def test_an_id_is_made_once_and_may_be_set(exchange: Exchange) -> None:
    made = exchange.id
    assert len(made) == 32
    assert exchange.id == made
    assert Exchange(Request(), exchange.client).id != made
    exchange.id = "mine"
    assert exchange.id == "mine"


def test_a_new_exchange(exchange: Exchange) -> None:
    assert exchange.route is NO_ROUTE
    assert exchange.response is None
    assert exchange.identity is None
    assert dict(exchange.params) == {}
    assert (exchange.received_at, exchange.completed_at, exchange.attempts) == (5.0, 0.0, 0)


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1"])
def test_a_client_address_is_an_address(ip: str) -> None:
    assert ClientAddress(ip).address == ipaddress.ip_address(ip)


def test_identities_do_not_share_their_defaults() -> None:
    assert Identity("a").claims is not Identity("b").claims
    assert Identity("a") == Identity("a", kind="user")
