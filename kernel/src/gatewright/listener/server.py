"""The listening side of one worker: sockets, limits, what is open, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import time
from email.utils import formatdate
from pathlib import Path

from gatewright.config.models import Listener, ListenerLimits, ListenerTimeouts
from gatewright.dispatch import Traffic
from gatewright.events import Events
from gatewright.listener.address import TrustedProxies
from gatewright.listener.http1 import Http1Connection
from gatewright.snapshot.lifecycle import Lifecycle
from gatewright.snapshot.model import Snapshot
from gatewright.timers import Wheel
from gatewright_sdk import GatewayError, GatewrightError

#: While draining: how long a kept-alive connection has for one more request before it is closed.
DRAIN_IDLE_SECONDS = 2.0
_KNOWN_HOSTS = 1024


class Acceptor:
    """One listening socket and the connections that came in by it."""

    def __init__(self, listener: Listener, traffic: Traffic, server_name: str) -> None:
        self.traffic = traffic
        self.scheme = "http"
        self.is_draining = False
        self.connections: set[Http1Connection] = set()
        self.refused = 0
        self.date = formatdate(usegmt=True).encode()
        self._per_client: dict[str, int] = {}
        self._watched: set[Http1Connection] = set()
        #: Host values that were checked already, as text: a bounded memory of the few that recur.
        self.known_hosts: dict[bytes | None, str] = {}
        self._server: asyncio.Server | None = None
        self.configure(listener, server_name)

    def configure(self, listener: Listener, server_name: str) -> None:
        """Take over limits and timeouts; they hold for what comes from now on."""
        limits: ListenerLimits = listener.limits
        timeouts: ListenerTimeouts = listener.timeouts
        self.bind = listener.bind
        self.head_bytes = limits.head_bytes
        self.header_count = limits.header_count
        self.url_bytes = limits.url_bytes
        self.requests_per_connection = limits.requests_per_connection
        self.pipeline_depth = limits.pipeline_depth
        self._connections = limits.connections
        self._connections_per_client = limits.connections_per_client
        self._backlog = listener.backlog
        self.head = timeouts.head
        self.body_timeout = timeouts.body
        self.keep_alive = self.idle_seconds = timeouts.keep_alive
        self.trusted = TrustedProxies(listener.trusted_proxies)
        self.via = b"1.1 " + server_name.encode()
        self.via_line = b"Via: " + self.via

    async def open(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Http1Connection(self), sock=sock, backlog=self._backlog)

    def close(self) -> None:
        """Accept no more; what the kernel has queued is left to the other workers."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def admit(self, connection: Http1Connection, ip: str) -> bool:
        """Whether the limits allow one more connection."""
        count = self._per_client.get(ip, 0)
        self._per_client[ip] = count + 1
        self.connections.add(connection)
        if count >= self._connections_per_client or len(self.connections) > self._connections:
            self.refused += 1
            return False
        return True

    def dismiss(self, connection: Http1Connection, ip: str) -> None:
        self.connections.discard(connection)
        self._watched.discard(connection)
        self.traffic.wheel.discard(connection)
        count = self._per_client.get(ip, 1) - 1
        if count:
            self._per_client[ip] = count
        else:
            self._per_client.pop(ip, None)

    def remember_host(self, host: bytes) -> None:
        if len(self.known_hosts) >= _KNOWN_HOSTS:
            self.known_hosts.clear()
        if len(host) < 256:
            self.known_hosts[host] = host.decode("latin-1").lower()

    def count_refused(self, error: GatewayError) -> None:
        self.refused += 1

    def watch(self, connection: Http1Connection, paused: bool) -> None:
        if paused:
            self._watched.add(connection)
        else:
            self._watched.discard(connection)

    def tick(self, now: float) -> None:
        for connection in list(self._watched):
            connection.check_peer()

    def drain(self, deadline: float) -> None:
        self.is_draining = True
        self.idle_seconds = DRAIN_IDLE_SECONDS
        self.close()
        for connection in list(self.connections):
            connection.start_draining(deadline)


class Server:
    """All listeners of one worker, and the exchanges that came in by them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, events: Events, worker: int, run_dir: Path) -> None:
        self.loop = loop
        self.worker = worker
        self.wheel = Wheel()
        self._lifecycle = Lifecycle(run_dir, worker, events)
        self.traffic = Traffic(loop, self.wheel, events.emit)
        self._acceptors: dict[str, Acceptor] = {}
        self._retiring: set[Snapshot] = set()
        self._second = 0
        self._started = time.monotonic()
        self.wheel.on_tick.append(self._tick)
        self.wheel.start(loop)

    @property
    def snapshot(self) -> Snapshot | None:
        return self.traffic.snapshot

    async def prepare(self, snapshot: Snapshot) -> None:
        """Start what is new in a snapshot. ``activate`` or ``abandon`` must follow.

        Raises:
            PluginError: a filter cannot start; then nothing has changed.
        """
        await self._lifecycle.start(snapshot)

    def activate(self, snapshot: Snapshot) -> None:
        """Make a prepared snapshot the one, and retire the one before."""
        old = self.traffic.snapshot
        self.traffic.snapshot = snapshot
        for acceptor in self._acceptors.values():
            listener = next((each for each in snapshot.manifest.listeners if each.bind == acceptor.bind), None)
            if listener is not None:
                acceptor.configure(listener, snapshot.manifest.server_name)
        if old is not None:
            self._retiring.add(old)
            old.retire(self._ended)

    async def abandon(self, snapshot: Snapshot) -> None:
        """Stop what ``prepare`` has started."""
        await self._lifecycle.stop(snapshot, self._alive())

    def _alive(self) -> list[Snapshot]:
        return [each for each in (self.traffic.snapshot, *self._retiring) if each is not None]

    def _ended(self, ended: Snapshot) -> None:
        self._retiring.discard(ended)
        self.traffic.spawn(self._lifecycle.stop(ended, self._alive()))

    async def listen(self, listener: Listener, sock: socket.socket) -> None:
        """Accept connections from a socket that is bound, and shared with the other workers."""
        snapshot = self.traffic.snapshot
        if snapshot is None:
            raise GatewrightError("a server listens only once it has a snapshot")
        acceptor = Acceptor(listener, self.traffic, snapshot.manifest.server_name)
        await acceptor.open(sock)
        self._acceptors[listener.bind] = acceptor

    async def close_listener(self, bind: str) -> None:
        """Stop accepting on one address; its connections end after the exchange under way."""
        acceptor = self._acceptors.pop(bind, None)
        if acceptor is not None:
            acceptor.drain(self.wheel.base + DRAIN_IDLE_SECONDS)

    async def drain(self, timeout: float) -> bool:
        """Accept no more, finish what is under way; whether all of it could be finished in time."""
        deadline = time.monotonic() + timeout
        for acceptor in self._acceptors.values():
            acceptor.drain(self.wheel.base + min(DRAIN_IDLE_SECONDS, timeout / 2))
        while self._open() and time.monotonic() < deadline:  # noqa: ASYNC110 - once; an event costs every close
            await asyncio.sleep(0.02)
        complete = not self.traffic.active
        for acceptor in self._acceptors.values():
            for connection in list(acceptor.connections):
                connection.close_now()
        self.traffic.run_completed()
        return complete

    async def stop(self) -> None:
        """After draining: stop every filter and close every pool."""
        snapshot, self.traffic.snapshot = self.traffic.snapshot, None
        while self.traffic.tasks:
            await asyncio.wait(self.traffic.tasks, timeout=1.0)
            break
        if snapshot is not None:
            await self._lifecycle.stop(snapshot, [])
        self.wheel.stop()

    def stats(self) -> dict[str, int | float]:
        """Counts for ``gatewright status``. Seconds where a name says so."""
        lag, self.wheel.worst_lag = self.wheel.worst_lag, 0.0
        snapshot = self.traffic.snapshot
        return {
            "connections": sum(len(acceptor.connections) for acceptor in self._acceptors.values()),
            "active": self.traffic.active,
            "requests_total": self.traffic.total,
            "refused_total": sum(acceptor.refused for acceptor in self._acceptors.values()),
            "snapshot": snapshot.version if snapshot is not None else 0,
            "retiring_snapshots": len(self._retiring),
            "uptime_seconds": time.monotonic() - self._started,
            "worst_loop_lag_seconds": lag,
        }

    def _open(self) -> int:
        return sum(len(acceptor.connections) for acceptor in self._acceptors.values())

    def _tick(self, now: float) -> None:
        for acceptor in self._acceptors.values():
            acceptor.tick(now)
        second = int(now)
        if second != self._second:
            self._second = second
            date = formatdate(usegmt=True).encode()
            for acceptor in self._acceptors.values():
                acceptor.date = date
