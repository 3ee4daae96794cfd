"""What a route may ask of a request beyond host and path.

Each predicate answers for one key of ``match``; ``refusal`` says in words why it refused. The router
calls ``test`` alone.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import unquote_plus

from gatewright.config.models import Match, ValueMatch
from gatewright_sdk import Request
from gatewright_sdk.headers import encode_name

Test = Callable[[Request, str], bool]


class Predicate(Protocol):
    """A condition on a request and the client's address."""

    def test(self, request: Request, client_ip: str) -> bool: ...

    def refusal(self, request: Request, client_ip: str) -> str:
        """Why ``test`` is False, for ``explain``."""
        ...


def make_predicates(match: Match) -> tuple[Predicate, ...]:
    """The predicates of a route, the cheaper ones first.

    Raises:
        ValueError: a header has no valid name, or is to have a value that no header can have.
    """
    made: list[Predicate] = []
    if match.methods:
        made.append(MethodIs(match.methods))
    if match.schemes:
        made.append(SchemeIs(match.schemes))
    if match.clients:
        made.append(ClientIn(match.clients))
    made.extend(HeaderIs(name, value) for name, value in sorted(match.headers.items()))
    made.extend(QueryIs(name, value) for name, value in sorted(match.query.items()))
    return tuple(made)


class MethodIs:
    """The method is one of these, letter by letter: a route for GET does not take HEAD unless it says so."""

    __slots__ = ("_methods", "_text")

    def __init__(self, methods: Sequence[str]) -> None:
        self._methods = frozenset(methods)
        self._text = ", ".join(methods)

    def test(self, request: Request, client_ip: str) -> bool:
        return request.method in self._methods

    def refusal(self, request: Request, client_ip: str) -> str:
        return f"method {request.method} is not one of {self._text}"


class SchemeIs:
    """The client reached the gateway by one of these schemes."""

    __slots__ = ("_schemes",)

    def __init__(self, schemes: Sequence[str]) -> None:
        self._schemes = tuple(schemes)

    def test(self, request: Request, client_ip: str) -> bool:
        return request.scheme in self._schemes

    def refusal(self, request: Request, client_ip: str) -> str:
        return f"scheme {request.scheme} is not one of {', '.join(self._schemes)}"


class ClientIn:
    """The client's address is in one of these networks; an IPv4-mapped IPv6 address counts as IPv4."""

    __slots__ = ("_text", "_v4", "_v6")

    def __init__(self, networks: Sequence[str]) -> None:
        self._text = ", ".join(networks)
        masks: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for text in networks:
            network = _unmapped(ipaddress.ip_network(text))
            masks[network.version].setdefault(int(network.netmask), set()).add(int(network.network_address))
        # One set per length of prefix, so that a long list costs no more than a short one.
        self._v4 = tuple((mask, frozenset(found)) for mask, found in masks[4].items())
        self._v6 = tuple((mask, frozenset(found)) for mask, found in masks[6].items())

    def test(self, request: Request, client_ip: str) -> bool:
        try:
            if ":" in client_ip:
                packed = socket.inet_pton(socket.AF_INET6, client_ip.partition("%")[0])
                is_mapped = packed.startswith(_MAPPED)
                networks, packed = (self._v4, packed[12:]) if is_mapped else (self._v6, packed)
            else:
                networks, packed = self._v4, socket.inet_pton(socket.AF_INET, client_ip)
        except OSError:
            return False
        number = int.from_bytes(packed)
        return any(number & mask in found for mask, found in networks)

    def refusal(self, request: Request, client_ip: str) -> str:
        return f"client {client_ip} is in none of {self._text}"


class HeaderIs:
    """One of the lines of a header has a wanted value."""

    __slots__ = ("_key", "_name", "_size", "_value")

    def __init__(self, name: str, value: ValueMatch) -> None:
        self._name = name
        self._key = encode_name(name).lower()
        self._size = len(self._key)
        self._value = ValueTest(value)
        if self._key == b"host":
            raise ValueError("the Host header is matched by hosts, not by headers")
        try:
            f"{value.exact}{value.prefix}".encode("latin-1")
        except UnicodeEncodeError as error:
            raise ValueError(f"header {name}: {error.object!r} is more than ISO 8859-1, so no header has it") from error

    def _values(self, request: Request) -> list[str]:
        key, size = self._key, self._size
        return [
            value.strip(b" \t").decode("latin-1")
            for field, value in request.headers.raw
            if len(field) == size and field.lower() == key
        ]

    def test(self, request: Request, client_ip: str) -> bool:
        return self._value.accepts(self._values(request))

    def refusal(self, request: Request, client_ip: str) -> str:
        return self._value.refusal(f"header {self._name}", self._values(request))


class QueryIs:
    """One of the query's parameters of a name has a wanted value, both decoded as form fields."""

    __slots__ = ("_name", "_value")

    def __init__(self, name: str, value: ValueMatch) -> None:
        self._name = name
        self._value = ValueTest(value)

    def test(self, request: Request, client_ip: str) -> bool:
        return self._value.accepts(query_values(request.query, self._name))

    def refusal(self, request: Request, client_ip: str) -> str:
        return self._value.refusal(f"query parameter {self._name}", query_values(request.query, self._name))


class ValueTest:
    """A ``ValueMatch``, ready to be asked."""

    __slots__ = ("_demand", "accepts")

    def __init__(self, match: ValueMatch) -> None:
        self.accepts: Callable[[Sequence[str]], bool]
        exact, prefix = match.exact, match.prefix
        if exact is not None:
            self.accepts = lambda values: exact in values
            self._demand = f"be {exact!r}"
        elif prefix is not None:
            self.accepts = lambda values: any(value.startswith(prefix) for value in values)
            self._demand = f"start with {prefix!r}"
        elif match.regex is not None:
            fullmatch = re.compile(match.regex).fullmatch
            self.accepts = lambda values: any(fullmatch(value) for value in values)
            self._demand = f"match {match.regex!r}"
        else:
            is_present = match.present
            self.accepts = lambda values: bool(values) is is_present
            self._demand = "be present" if is_present else "be absent"

    def refusal(self, what: str, values: Sequence[str]) -> str:
        state = "is absent" if not values else f"is {', '.join(map(repr, values))}"
        return f"{what} {state} and must {self._demand}"


def query_values(query: str, name: str) -> list[str]:
    """The values of one parameter, decoded as ``Request.query_params`` does, without decoding the rest."""
    values: list[str] = []
    if query:
        for field in query.split("&"):
            key, _, value = field.partition("=")
            if field and (key == name if key.isalnum() else unquote_plus(key) == name):
                values.append(unquote_plus(value))
    return values


_MAPPED = bytes(10) + b"\xff\xff"


def _unmapped(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network
