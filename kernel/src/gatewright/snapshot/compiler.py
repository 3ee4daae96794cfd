"""From a manifest to a snapshot, a slice at a time, reusing whatever did not change.

Compiling runs on the worker's own loop, because a thread would hold the interpreter's lock for
milliseconds at a time; it gives way to the loop whenever ``SLICE`` seconds have passed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from gatewright.config.models import Attachment, Manifest, Route, Service, Target
from gatewright.errors import ConfigError, Problem
from gatewright.events import Events
from gatewright.host.plugins import Locate, PluginHost, config_problems
from gatewright.pipeline.chain import Attached, Chain
from gatewright.pipeline.order import OrderError, arrange
from gatewright.routing.table import CompiledMatch, TableBuilder, compile_route
from gatewright.snapshot.model import CompiledRoute, CompiledService, Endpoint, Snapshot
from gatewright.timers import Wheel
from gatewright.upstream.balancer import hash_key, make_balancer
from gatewright.upstream.pool import Pool
from gatewright.upstream.resolver import Resolver
from gatewright_sdk import PluginError, RouteInfo

#: Seconds that compiling may hold the loop at a time.
SLICE = 0.0002

Place = tuple[str | int, ...]
_TIMEOUTS = ("connect", "tls", "first_byte", "between_bytes", "total", "idle_stream")


class Compiler:
    """Compiles the configs of one process, one after the other.

    Args:
        run_dir: where plugins may keep files that supervisor and workers share.
        worker: the number of this worker; -1 in the supervisor, which only checks.
        wheel: the deadlines of the worker's connections.
    """

    def __init__(self, *, run_dir: Path, worker: int, events: Events, wheel: Wheel | None = None) -> None:
        self.run_dir = run_dir
        self.worker = worker
        self.events = events
        self._wheel = wheel if wheel is not None else Wheel()
        self._resolver = Resolver()
        self._version = 0
        self._last: Compilation | None = None
        self._before_last: Compilation | None = None

    @property
    def host(self) -> PluginHost:
        """The plugins of the last snapshot."""
        assert self._last is not None
        return self._last.host

    async def compile(self, manifest: Manifest, locate: Locate, version: int | None = None) -> Snapshot:
        """A snapshot of the manifest. What equals a part of the last snapshot is that part.

        Raises:
            ConfigError: with everything that is wrong, each problem at its place.
        """
        self._version = version if version is not None else self._version + 1
        compilation = Compilation(self, manifest, locate, self._last)
        snapshot = await compilation.run(self._version)
        self._before_last, self._last = self._last, compilation
        return snapshot

    def revert(self) -> None:
        """The last snapshot was not taken up: the next compile reuses the one before."""
        self._before_last, self._last = None, self._before_last

    def settle(self) -> None:
        """The last snapshot was taken up: keep nothing of the one before."""
        self._before_last = None

    def make_pool(self, target: Target, service: Service) -> Pool:
        return Pool(target, service.pool, service.tls, self._wheel, self._resolver)


class Compilation:
    """One run of the compiler, and what the next one may take from it."""

    def __init__(self, compiler: Compiler, manifest: Manifest, locate: Locate, last: Compilation | None) -> None:
        self._compiler = compiler
        self._manifest = manifest
        self._locate = locate
        self._last = last
        self._problems: list[Problem] = []
        self._slice_ends = 0.0
        self.host: PluginHost
        self.pools: dict[object, Pool] = {}
        self.services: dict[str, tuple[Service, CompiledService]] = {}
        self.filters: dict[object, Attached] = {}
        self.routes: dict[str, tuple[Route, CompiledRoute, CompiledMatch, tuple[Attached, ...]]] = {}
        self.unmatched: CompiledRoute

    async def run(self, version: int) -> Snapshot:
        manifest, last = self._manifest, self._last
        if last is not None and last.host.entries == tuple(manifest.plugins):
            self.host = last.host
        else:
            self.host = PluginHost.load(manifest.plugins, self._locate)
        self._slice_ends = time.perf_counter() + SLICE
        for index, service in enumerate(manifest.services):
            self._compile_service(service, index)
            await self._give_way()
        builder: TableBuilder[CompiledRoute] = TableBuilder()
        shared = self._attach_level(manifest.global_.plugins, "global", ("global", "plugins"))
        of_service = {
            service.name: self._attach_level(service.plugins, f"service:{service.name}", ("services", index, "plugins"))
            for index, service in enumerate(manifest.services)
        }
        self._compile_unmatched(shared)
        same_globals = last is not None and last._manifest.global_ == manifest.global_
        for index, route in enumerate(manifest.routes):
            levels = (shared, of_service.get(route.service or "", {}))
            compiled, match = self._compile_route(route, index, levels, same_globals)
            if compiled is not None:
                builder.add(route, compiled, match)
            await self._give_way()
        # Or every config that there ever was would hang on the chain of these.
        self._last = None
        if self._problems:
            raise ConfigError(self._problems)
        return Snapshot(
            version,
            manifest,
            builder.finish(),
            {name: entry[1] for name, entry in self.routes.items()},
            self.unmatched,
            {name: entry[1] for name, entry in self.services.items()},
            self.filters,
        )

    async def _give_way(self) -> None:
        if time.perf_counter() >= self._slice_ends:
            await asyncio.sleep(0)
            self._slice_ends = time.perf_counter() + SLICE

    def _compile_service(self, service: Service, index: int) -> None:
        old = self._last.services.get(service.name) if self._last is not None else None
        if old is not None and (old[0] is service or old[0] == service):
            self.services[service.name] = (service, old[1])
            for target in service.targets:
                key = _pool_key(service, target)
                assert self._last is not None
                self.pools[key] = self._last.pools[key]
            return
        endpoints = []
        for position, target in enumerate(service.targets):
            try:
                endpoints.append(Endpoint(target.url, target.weight, _host_of(target), self._pool(service, target)))
            except OSError as error:
                place = (
                    ("services", index, "tls", "ca_file")
                    if service.tls.ca_file
                    else ("services", index, "targets", position)
                )
                self._problems.append(self._locate(place, f"cannot read the certificates: {error}", ""))
                return
        balancer = make_balancer(service.balancer, endpoints)
        key_of = hash_key(service.balancer.key) if service.balancer.type == "consistent_hash" else None
        self.services[service.name] = (service, CompiledService(service.name, endpoints, balancer, key_of))

    def _pool(self, service: Service, target: Target) -> Pool:
        key = _pool_key(service, target)
        pool = self.pools.get(key)
        if pool is None and self._last is not None:
            pool = self._last.pools.get(key)
        if pool is None:
            pool = self._compiler.make_pool(target, service)
        self.pools[key] = pool
        return pool

    def _attach_level(self, attachments: Sequence[Attachment], origin: str, place: Place) -> dict[str, Attached | None]:
        """The filters of one place in the manifest by key; None takes a wider place's away."""
        level: dict[str, Attached | None] = {}
        for index, attachment in enumerate(attachments):
            if not attachment.enabled:
                level[attachment.key] = None
                continue
            attached = self._attach(attachment, origin, (*place, index))
            if attached is not None:
                level[attachment.key] = attached
        return level

    def _attach(self, attachment: Attachment, origin: str, place: Place) -> Attached | None:
        loaded = self.host.plugins.get(attachment.name)
        if loaded is None:
            self._problems.append(
                self._locate(place, f"plugin {attachment.name!r} is not in the list of plugins", "add it to plugins")
            )
            return None
        identity = (origin, attachment.key)
        if self._last is not None:
            old = self._last.filters.get(identity)
            if old is not None and old.attachment == attachment and old.loaded == loaded:
                self.filters[identity] = old
                return old
        kind = loaded.plugin.filter
        if kind is None:
            self._problems.append(
                self._locate(place, f"plugin {attachment.name!r} cannot be attached: it has no filter", "")
            )
            return None
        try:
            instance = kind(kind.config_model.model_validate(attachment.config))
        except ValidationError as error:
            self._problems.extend(config_problems(error, (*place, "config"), kind.config_model, self._locate))
            return None
        except (PluginError, ValueError) as error:
            self._problems.append(self._locate(place, f"plugin {attachment.name!r} refuses its config: {error}", ""))
            return None
        attached = Attached(attachment, loaded, origin, instance)
        self.filters[identity] = attached
        return attached

    def _compile_unmatched(self, shared: Mapping[str, Attached | None]) -> None:
        chain = self._chain("", (shared,), ("global", "plugins"))
        self.unmatched = CompiledRoute(RouteInfo(""), None, Chain("", chain, self._compiler.events.emit))
        _set_limits(self.unmatched, self._manifest, None, None)

    def _compile_route(
        self, route: Route, index: int, levels: tuple[Mapping[str, Attached | None], ...], same_globals: bool
    ) -> tuple[CompiledRoute | None, CompiledMatch | None]:
        old = self._last.routes.get(route.name) if self._last is not None else None
        own = (
            self._attach_level(route.plugins, f"route:{route.name}", ("routes", index, "plugins"))
            if route.plugins
            else {}
        )
        attached = self._chain(route.name, (*levels, own), ("routes", index))
        service = self.services[route.service][1] if route.service in self.services else None
        if old is not None and (old[0] is route or old[0] == route):
            compiled, match = old[1], old[2]
            if not (same_globals and compiled.service is service and old[3] == attached):
                compiled = self._make_route(route, service, attached)
        else:
            try:
                match = compile_route(route)
            except ValueError as error:
                self._problems.append(self._locate(("routes", index, "match"), str(error), ""))
                return None, None
            compiled = self._make_route(route, service, attached)
        self.routes[route.name] = (route, compiled, match, attached)
        return compiled, match

    def _make_route(
        self, route: Route, service: CompiledService | None, attached: tuple[Attached, ...]
    ) -> CompiledRoute:
        compiled = CompiledRoute(
            RouteInfo(route.name, route.service), service, Chain(route.name, attached, self._compiler.events.emit)
        )
        _set_limits(
            compiled, self._manifest, self.services[route.service][0] if route.service in self.services else None, route
        )
        compiled.preserve_host = route.host_header == "preserve"
        if route.host_header not in ("preserve", "target"):
            compiled.host = route.host_header.encode("latin-1")
        return compiled

    def _chain(self, route: str, levels: Sequence[Mapping[str, Attached | None]], place: Place) -> tuple[Attached, ...]:
        """The filters of a route in order: of equal keys, the nearest level's."""
        nearest: dict[str, Attached | None] = {}
        for level in levels:
            nearest.update(level)
        chosen = {key: attached for key, attached in nearest.items() if attached is not None}
        if not chosen:
            return ()
        placed = [attached.placed for attached in chosen.values()]
        try:
            return tuple(chosen[item.key] for item in arrange(placed))
        except OrderError as error:
            self._problems.append(self._locate(place, str(error), ""))
            return ()


def _pool_key(service: Service, target: Target) -> object:
    return (target.url, service.pool.model_dump_json(), service.tls.model_dump_json())


def _host_of(target: Target) -> bytes:
    if target.is_unix:
        return b"localhost"
    return target.url.partition("://")[2].encode("latin-1")


def _set_limits(compiled: CompiledRoute, manifest: Manifest, service: Service | None, route: Route | None) -> None:
    defaults = manifest.global_.timeouts
    nearer = [each.timeouts for each in (route, service) if each is not None and "timeouts" in each.model_fields_set]
    for name in _TIMEOUTS:
        value = getattr(defaults, name)
        for timeouts in nearer:
            said = getattr(timeouts, name)
            if said is not None:
                value = said
                break
        setattr(compiled, name, value)
    own = route.limits.body_bytes if route is not None else None
    compiled.body_bytes = own if own is not None else manifest.global_.limits.body_bytes or 0
