"""A manifest on its way to the workers: in pieces, and of a changed one only what changed.

The supervisor's ``Feed`` remembers what every worker has; a worker's ``Manifold`` puts it together again.
Services and routes are told apart by name. Each is validated by itself, so that ten thousand of them
never hold the worker's loop for longer than one takes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence

from gatewright.config.models import Manifest, Route, Service
from gatewright.workers.bus import Message

#: How much goes into one frame: decoding one is what a worker cannot interrupt.
FRAME_ITEMS = 50
FRAME_BYTES = 64 * 1024
#: Seconds that a worker takes in configuration at a time.
SLICE = 0.0002


class Feed:
    """The config as the workers have it.

    Attributes:
        version: of the config; 0 before the first.
    """

    def __init__(self) -> None:
        self.version = 0
        self._head = "{}"
        self._services: dict[str, str] = {}
        self._routes: dict[str, str] = {}

    def next(self, manifest: Manifest) -> Feed:
        """The feed after this one."""
        feed = Feed()
        feed.version = self.version + 1
        feed._head = manifest.model_dump_json(by_alias=True, exclude_unset=True, exclude={"services", "routes"})
        feed._services = {
            service.name: service.model_dump_json(by_alias=True, exclude_unset=True) for service in manifest.services
        }
        feed._routes = {
            route.name: route.model_dump_json(by_alias=True, exclude_unset=True) for route in manifest.routes
        }
        return feed

    def frames(self, known: Feed | None) -> Iterator[bytes]:
        """What to tell a worker that has ``known``, None for one that has nothing: encoded messages."""
        before = known if known is not None else Feed()
        begin = {
            "type": "begin",
            "version": self.version,
            "base": before.version,
            "head": json.loads(self._head),
            "drop_services": [name for name in before._services if name not in self._services],
            "drop_routes": [name for name in before._routes if name not in self._routes],
        }
        yield json.dumps(begin).encode()
        for kind, mine, theirs in (
            ("services", self._services, before._services),
            ("routes", self._routes, before._routes),
        ):
            changed = [text for name, text in mine.items() if theirs.get(name) != text]
            for batch in _batches(changed):
                yield f'{{"type": "items", "{kind}": [{", ".join(batch)}]}}'.encode()


def _batches(items: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for item in items:
        if batch and (len(batch) >= FRAME_ITEMS or size + len(item) > FRAME_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item)
    if batch:
        yield batch


class Manifold:
    """A worker's copy of the config."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        self._routes: dict[str, Route] = {}
        self._next: tuple[Message, dict[str, Service], dict[str, Route]] | None = None
        self._slice_ends = 0.0
        #: services and routes that came with the last config
        self.taken_in = 0

    def begin(self, message: Message) -> None:
        services, routes = dict(self._services), dict(self._routes)
        for name in message["drop_services"]:
            del services[name]
        for name in message["drop_routes"]:
            del routes[name]
        self._next = (message["head"], services, routes)
        self.taken_in = 0

    async def items(self, message: Message) -> None:
        assert self._next is not None
        _, services, routes = self._next
        self.taken_in += len(message.get("services", ())) + len(message.get("routes", ()))
        for each in message.get("services", ()):
            await self._give_way()
            services[each["name"]] = Service.model_validate(each)
        for each in message.get("routes", ()):
            await self._give_way()
            routes[each["name"]] = Route.model_validate(each)

    def manifest(self) -> Manifest:
        """The config as it will be."""
        assert self._next is not None
        head, services, routes = self._next
        manifest = Manifest.model_validate(head)
        update: Mapping[str, object] = {"services": list(services.values()), "routes": list(routes.values())}
        return manifest.model_copy(update=update)

    def settle(self) -> None:
        """It is now."""
        assert self._next is not None
        _, self._services, self._routes = self._next
        self._next = None

    def revert(self) -> None:
        """It will not be."""
        self._next = None

    async def _give_way(self) -> None:
        if time.perf_counter() >= self._slice_ends:
            await asyncio.sleep(0)
            self._slice_ends = time.perf_counter() + SLICE
