"""One request, its response, and what is known about both: the object that every hook is given."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gatewright_sdk.errors import GatewayError
from gatewright_sdk.message import Request, Response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is calling, as an authenticating plugin established it.

    Limits, access rules, logs and flags read this and no header.
    """

    subject: str
    kind: str = "user"
    claims: Mapping[str, Any] = field(default_factory=dict)
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Where the request came from.

    Attributes:
        ip: the client's address: the nearest hop, right to left, that is not a trusted proxy.
        port: the client's port where ``ip`` is the socket's own peer, else 0.
        peer: the address at the other end of the socket; differs from ``ip`` behind a trusted proxy.
        is_trusted: whether ``peer`` is a trusted proxy, so that what it forwards may be believed.
    """

    ip: str
    port: int = 0
    peer: str = ""
    is_trusted: bool = False

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(self.ip)


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """What a plugin may know about the matched route."""

    name: str
    service: str | None = None


#: The route of a request that no route matched.
NO_ROUTE = RouteInfo("")


class StateKey(Generic[T]):
    """A typed slot of a plugin's own in each exchange.

    >>> started = StateKey[float]("my-plugin.started")
    >>> started.set(exchange, 1.5)
    >>> started.get(exchange)
    1.5
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def get(self, exchange: Exchange) -> T | None:
        state = exchange._state
        return None if state is None else state.get(self)

    def set(self, exchange: Exchange, value: T) -> None:
        if exchange._state is None:
            exchange._state = {}
        exchange._state[self] = value

    def __repr__(self) -> str:
        return f"StateKey({self.name!r})"


class Exchange:
    """One request's way through the gateway.

    Attributes:
        request: what the client asked, as hooks have changed it since.
        response: None until there is one.
        route: the matched route; its name is empty where none matched.
        params: values of the path template's parameters, still percent-encoded.
        client: where the request came from.
        identity: who is calling, once a plugin has established it.
        tenant: on whose behalf, once a plugin has established it.
        service: the name of the service to call. A request hook may set it to another one of the
            manifest's services to send the request there.
        balance_key: what a consistent-hash balancer hashes instead of its configured key, if set.
        target: the URL of the target that was picked, once it was.
        attempts: how many times the request was sent upstream.
        error: the failure, if there was one, even where a hook turned it into a response.
        received_at, upstream_at, first_byte_at, completed_at: monotonic seconds
            (``time.monotonic()``) when the head had arrived, when the last attempt was sent,
            when the upstream's response head had come, when the exchange ended; 0.0 while it has not.
        bytes_in, bytes_out: body bytes received from and sent to the client.
        is_aborted: the client left, or the gateway cut the response off.
    """

    __slots__ = (
        "__weakref__", "_id", "_state", "attempts", "balance_key", "bytes_in", "bytes_out", "client",
        "completed_at", "error", "first_byte_at", "identity", "is_aborted", "params", "received_at",
        "request", "response", "route", "service", "target", "tenant", "upstream_at",
    )  # fmt: skip

    def __init__(self, request: Request, client: ClientAddress, received_at: float = 0.0) -> None:
        self.request = request
        self.client = client
        self.received_at = received_at
        self.response: Response | None = None
        self.route = NO_ROUTE
        self.params: Mapping[str, str] = _NO_PARAMS
        self.identity: Identity | None = None
        self.tenant: str | None = None
        self.service: str | None = None
        self.balance_key: str | None = None
        self.target: str | None = None
        self.attempts = 0
        self.error: GatewayError | None = None
        self.upstream_at = 0.0
        self.first_byte_at = 0.0
        self.completed_at = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.is_aborted = False
        self._id: str | None = None
        self._state: dict[StateKey[Any], Any] | None = None

    @property
    def id(self) -> str:
        """The request id; made when first asked for, unless a plugin has set it."""
        if self._id is None:
            self._id = secrets.token_hex(16)
        return self._id

    @id.setter
    def id(self, value: str) -> None:
        self._id = value

    def __repr__(self) -> str:
        return f"<Exchange {self.request!r} route={self.route.name!r} response={self.response!r}>"


_NO_PARAMS: Mapping[str, str] = {}
