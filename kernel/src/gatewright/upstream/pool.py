"""Connections to one target: bounded, reused newest first, with a bounded queue behind them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import Protocol

import aiohappyeyeballs

from gatewright.config.models import Pool as PoolConfig
from gatewright.config.models import Target, UpstreamTls
from gatewright.timers import NEVER, Wheel
from gatewright.upstream.http1 import UpstreamConnection
from gatewright.upstream.resolver import Resolver
from gatewright_sdk import ConnectFailed, GatewayError, Overloaded, UpstreamTimeout

#: RFC 8305 section 5: how long the first address has before the next is tried beside it.
HAPPY_EYEBALLS_DELAY = 0.25


class Waiter(Protocol):
    """A request in want of a connection."""

    @property
    def connect_timeouts(self) -> tuple[float, float]:
        """Seconds for the connection and for the TLS handshake; 0 is no limit."""

    def on_connection(self, connection: UpstreamConnection) -> None:
        """Here it is; the waiter owns it until its exchange is over."""

    def on_connect_failed(self, error: GatewayError) -> None:
        """There is none to be had."""


class Pool:
    """The connections of one worker to one target.

    Attributes:
        url: the target.
        open: connections, those being opened included.
    """

    def __init__(self, target: Target, config: PoolConfig, tls: UpstreamTls, wheel: Wheel, resolver: Resolver) -> None:
        self.url = target.url
        self.open = 0
        self._target = target
        self._config = config
        self._tls = tls
        self._context = _context(tls) if target.is_tls else None
        self._wheel = wheel
        self._resolver = resolver
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._waiting: deque[Waiter] = deque()
        self._connecting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def acquire(self, waiter: Waiter) -> UpstreamConnection | None:
        """A connection that is free now, or None: then one of the waiter's callbacks will be called.

        Raises:
            Overloaded: the limits on connections and on waiting requests are reached.
        """
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed:
                connection.deadline = NEVER
                return connection
        if (
            self.open >= self._config.max_connections
            and len(self._waiting) - self._connecting >= self._config.max_pending
        ):
            raise Overloaded("Too many requests wait for the upstream.", retry_after=1)
        self._waiting.append(waiter)
        if self.open < self._config.max_connections and self._connecting < len(self._waiting):
            self._open(waiter)
        return None

    def cancel(self, waiter: Waiter) -> None:
        """The waiter has given up."""
        try:
            self._waiting.remove(waiter)
        except ValueError:
            return

    def release(self, connection: UpstreamConnection) -> None:
        """An exchange is over and its connection may carry another."""
        if self._is_closed or (self._config.max_requests and connection.requests >= self._config.max_requests):
            connection.close()
            return
        if self._waiting:
            self._waiting.popleft().on_connection(connection)
            return
        deadline = self._wheel.now + self._config.idle_timeout
        connection.deadline = deadline
        if deadline < connection.due:
            self._wheel.place(connection)
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection has closed."""
        if connection in self._all:
            self._all.discard(connection)
            self.open -= 1
            self._wheel.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            if len(self._waiting) > self._connecting and not self._is_closed:
                self._open(self._waiting[0])

    def close(self) -> None:
        """Close what is idle, and the rest as it becomes so."""
        self._is_closed = True
        for connection in list(self._idle):
            connection.close()
        for task in self._tasks:
            task.cancel()

    def _open(self, waiter: Waiter) -> None:
        self.open += 1
        self._connecting += 1
        task = asyncio.get_running_loop().create_task(self._connect(*waiter.connect_timeouts))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, connect: float, tls: float) -> None:
        try:
            connection = await self._establish(connect, tls)
        except GatewayError as error:
            self._connecting -= 1
            self.open -= 1
            if self._waiting:
                self._waiting.popleft().on_connect_failed(error)
            return
        except asyncio.CancelledError:
            self._connecting -= 1
            self.open -= 1
            raise
        self._connecting -= 1
        self._all.add(connection)
        if connection.is_closed:
            self.forget(connection)
        else:
            self.release(connection)

    async def _establish(self, connect: float, tls: float) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        stage, limit = "connect", connect
        try:
            async with asyncio.timeout(connect or None):
                sock = await self._dial(loop)
            stage, limit = "tls", tls
            async with asyncio.timeout((tls or None) if self._context else None):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(self),
                    sock=sock,
                    ssl=self._context,
                    server_hostname=self._server_name if self._context else None,
                )
        except TimeoutError as error:
            raise UpstreamTimeout(stage, limit) from error
        except ssl.SSLCertVerificationError as error:
            failure = ConnectFailed("The upstream's certificate is not accepted.", code="upstream-certificate")
            failure.proxy_status = "tls_certificate_error"
            raise failure from error
        except ssl.SSLError as error:
            failure = ConnectFailed("The TLS handshake with the upstream failed.", code="upstream-tls")
            failure.proxy_status = "tls_protocol_error"
            raise failure from error
        except OSError as error:
            raise ConnectFailed("The upstream cannot be connected to.") from error
        return connection

    async def _dial(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        host, port = self._target.address
        if self._target.is_unix:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, host)
            except BaseException:
                sock.close()
                raise
            return sock
        addresses = await self._resolver.resolve(host, port)
        sock = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY, interleave=1, loop=loop
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    @property
    def _server_name(self) -> str:
        return self._tls.server_name or self._target.address[0]


def _context(tls: UpstreamTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
