"""One worker: takes configs from the bus, runs a server, and ends when it is told to or left alone."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import signal
import socket
from pathlib import Path

from gatewright.config.models import Listener, Manifest
from gatewright.errors import ConfigError, Problem
from gatewright.events import Event, Events
from gatewright.listener.server import Server
from gatewright.snapshot.compiler import Compiler
from gatewright.snapshot.model import Snapshot
from gatewright.workers.bus import Bus, BusClosed, Message
from gatewright.workers.feed import Manifold
from gatewright_sdk import GatewrightError

#: So many services and routes taken in at once are kept from the collector.
FREEZE_FROM = 500
#: Events that may wait for the bus; more are counted and dropped.
PENDING_EVENTS = 1000


class Worker:
    """The worker's side of the bus.

    Args:
        number: of this worker, from 0.
        bus: towards the supervisor.
        run_dir: shared by supervisor and workers.
    """

    def __init__(self, number: int, bus: Bus, run_dir: Path) -> None:
        self.number = number
        self._bus = bus
        self._events: asyncio.Queue[Event] = asyncio.Queue(PENDING_EVENTS)
        self._lost_events = 0
        events = Events([self._note])
        self._server = Server(asyncio.get_running_loop(), events, number, run_dir)
        self._compiler = Compiler(run_dir=run_dir, worker=number, events=events, wheel=self._server.wheel)
        self._manifold = Manifold()
        self._prepared: tuple[Snapshot, dict[str, socket.socket]] | None = None
        self._listening: set[str] = set()
        self._drain = asyncio.Event()
        self._drain_timeout: float | None = None

    async def run(self) -> bool:
        """Until drained; whether everything under way could be finished."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._drain.set)
        # Ctrl-C reaches the whole process group; the supervisor decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        tasks = [loop.create_task(self._listen_to_bus()), loop.create_task(self._send_events())]
        await self._drain.wait()
        complete = await self._stop()
        for task in tasks:
            task.cancel()
        return complete

    async def _stop(self) -> bool:
        snapshot = self._server.snapshot
        timeout = self._drain_timeout
        if timeout is None:
            timeout = snapshot.manifest.drain.timeout if snapshot is not None else 0.0
        complete = await self._server.drain(timeout)
        await self._server.stop()
        self._bus.close()
        return complete

    async def _listen_to_bus(self) -> None:
        try:
            while True:
                message, descriptors = await self._bus.receive()
                await self._handle(message, descriptors)
        except BusClosed:
            # The supervisor has died: finish what is under way.
            self._drain.set()

    async def _handle(self, message: Message, descriptors: list[int]) -> None:
        kind = message["type"]
        if kind == "begin":
            self._manifold.begin(message)
        elif kind == "items":
            await self._manifold.items(message)
        elif kind == "prepare":
            await self._answer(message, await self._prepare(message, descriptors))
        elif kind == "activate":
            await self._answer(message, await self._activate())
        elif kind == "abandon":
            await self._abandon()
        elif kind == "status":
            await self._answer(message, {"stats": self._server.stats()})
        elif kind == "drain":
            self._drain_timeout = message["timeout"]
            self._drain.set()

    async def _answer(self, message: Message, answer: Message) -> None:
        await self._bus.send({"type": "answer", "re": message["id"], **answer})

    async def _prepare(self, message: Message, descriptors: list[int]) -> Message:
        """Compile what has come and start what is new in it."""
        sockets = {
            bind: socket.socket(fileno=descriptor)
            for bind, descriptor in zip(message["binds"], descriptors, strict=True)
        }
        try:
            snapshot = await self._compiler.compile(self._manifold.manifest(), _locate, message["version"])
        except ConfigError as error:
            self._manifold.revert()
            _close_all(sockets)
            return {"problems": [str(problem) for problem in error.problems]}
        try:
            await self._server.prepare(snapshot)
        except GatewrightError as error:
            self._compiler.revert()
            self._manifold.revert()
            _close_all(sockets)
            return {"problems": [str(error)]}
        self._prepared = (snapshot, sockets)
        return {}

    async def _activate(self) -> Message:
        assert self._prepared is not None
        (snapshot, sockets), self._prepared = self._prepared, None
        self._server.activate(snapshot)
        self._compiler.settle()
        self._manifold.settle()
        await self._take_listeners(snapshot.manifest, sockets)
        if self._manifold.taken_in >= FREEZE_FROM:
            # A collection over ten thousand routes would hold the loop for a tenth of a second, and
            # find nothing. Small changes are left to the collector, and with them the knots that
            # plugins may have tied.
            gc.freeze()
        return {}

    async def _take_listeners(self, manifest: Manifest, sockets: dict[str, socket.socket]) -> None:
        listeners: dict[str, Listener] = {each.bind: each for each in manifest.listeners}
        for bind in self._listening - listeners.keys():
            await self._server.close_listener(bind)
        self._listening &= listeners.keys()
        for bind, sock in sockets.items():
            await self._server.listen(listeners[bind], sock)
            self._listening.add(bind)

    async def _abandon(self) -> None:
        if self._prepared is not None:
            (snapshot, sockets), self._prepared = self._prepared, None
            self._compiler.revert()
            self._manifold.revert()
            _close_all(sockets)
            await self._server.abandon(snapshot)

    def _note(self, event: Event) -> None:
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self._lost_events += 1

    async def _send_events(self) -> None:
        with contextlib.suppress(BusClosed):
            while True:
                event = await self._events.get()
                lost, self._lost_events = self._lost_events, 0
                fields = dataclasses.asdict(event)
                await self._bus.send({"type": "event", "kind": type(event).__name__, "fields": fields, "lost": lost})


def _locate(place: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
    """The supervisor has compiled the same config with lines; what fails here alone has a key."""
    return Problem(message, key=".".join(map(str, place)), hint=hint)


def _close_all(sockets: dict[str, socket.socket]) -> None:
    for sock in sockets.values():
        sock.close()
