"""What a compiled config consists of. Immutable, but for the counts of what is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gatewright.config.models import Manifest
from gatewright.pipeline.chain import Attached, Chain
from gatewright.routing.path import PathNormaliser
from gatewright.routing.table import RouteTable
from gatewright.upstream.balancer import Balancer
from gatewright.upstream.pool import Pool
from gatewright_sdk import Exchange, RouteInfo


class Endpoint:
    """One target of a service, as balancers see it, and its pool.

    Attributes:
        active: requests that are with it now.
    """

    __slots__ = ("active", "host", "pool", "url", "weight")

    def __init__(self, url: str, weight: int, host: bytes, pool: Pool) -> None:
        self.url = url
        self.weight = weight
        self.host = host
        self.pool = pool
        self.active = 0


class CompiledService:
    """A service ready for use."""

    __slots__ = ("balancer", "endpoints", "hash_key", "name")

    def __init__(
        self,
        name: str,
        endpoints: Sequence[Endpoint],
        balancer: Balancer[Endpoint],
        hash_key: Callable[[Exchange], str] | None,
    ) -> None:
        self.name = name
        self.endpoints = tuple(endpoints)
        self.balancer = balancer
        self.hash_key = hash_key


class CompiledRoute:
    """A route ready for use: what dispatch looks at, and nothing else. Timeouts of 0 are off."""

    __slots__ = (
        "between_bytes", "body_bytes", "chain", "connect", "first_byte", "host", "idle_stream", "info",
        "preserve_host", "service", "tls", "total",
    )  # fmt: skip

    def __init__(self, info: RouteInfo, service: CompiledService | None, chain: Chain) -> None:
        self.info = info
        self.service = service
        self.chain = chain
        self.connect = self.tls = self.first_byte = self.between_bytes = self.total = self.idle_stream = 0.0
        self.body_bytes = 0
        #: Host to send where it is a literal; None means the target's own
        self.host: bytes | None = None
        self.preserve_host = False


class Retired(Protocol):
    """Who wants to know that a snapshot has ended."""

    def __call__(self, snapshot: Snapshot, /) -> None: ...


class Snapshot:
    """One config, compiled. Exchanges end on the snapshot that they began with.

    Attributes:
        active: exchanges under way on it.
        is_retired: another one has taken its place.
    """

    __slots__ = (
        "active", "filters", "is_retired", "manifest", "normalise", "on_end", "routes", "services",
        "table", "unmatched", "version",
    )  # fmt: skip

    def __init__(
        self,
        version: int,
        manifest: Manifest,
        table: RouteTable[CompiledRoute],
        routes: Mapping[str, CompiledRoute],
        unmatched: CompiledRoute,
        services: Mapping[str, CompiledService],
        filters: Mapping[object, Attached],
    ) -> None:
        self.version = version
        self.manifest = manifest
        self.table = table
        self.routes = routes
        self.unmatched = unmatched
        self.services = services
        #: every filter in use, by what it was made from
        self.filters = filters
        self.normalise = PathNormaliser(manifest.paths)
        self.active = 0
        self.is_retired = False
        self.on_end: Retired | None = None

    def retire(self, on_end: Retired) -> None:
        """No exchange will begin on it any more; ``on_end`` is called once the last has ended."""
        self.is_retired = True
        self.on_end = on_end
        if self.active == 0:
            on_end(self)

    def leave(self) -> None:
        """An exchange has ended."""
        self.active -= 1
        if self.is_retired and self.active == 0 and self.on_end is not None:
            self.on_end(self)
