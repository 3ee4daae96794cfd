"""A real gateway in a thread, a real upstream made of sockets, and a raw client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gatewright.config.models import Manifest
from gatewright.errors import Problem
from gatewright.events import Event, Events
from gatewright.listener.server import Server
from gatewright.snapshot.compiler import Compiler


def locate(place: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
    return Problem(message, key=".".join(map(str, place)), hint=hint)


class Gateway:
    """One worker's server on a loop of its own."""

    def __init__(self, run_dir: Path) -> None:
        self.events: list[Event] = []
        self.loop = uvloop.new_event_loop()
        self.run_dir = run_dir
        self.port = 0
        self._clients: list[Client] = []
        self.server: Server
        self.compiler: Compiler
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._ready.set)
        self.loop.run_forever()

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def apply(self, document: dict[str, Any]) -> None:
        """Compile and activate; the first time, listen too."""
        document = {"gatewright": 1, "listeners": [{"bind": "127.0.0.1:0"}], **document}
        self.call(self._apply(Manifest.model_validate(document)))

    async def _apply(self, manifest: Manifest) -> None:
        first = self.port == 0
        if first:
            events = Events([self.events.append])
            self.server = Server(self.loop, events, 0, self.run_dir)
            self.compiler = Compiler(run_dir=self.run_dir, worker=0, events=events, wheel=self.server.wheel)
        snapshot = await self.compiler.compile(manifest, locate)
        await self.server.prepare(snapshot)
        self.server.activate(snapshot)
        if first:
            sock = socket.create_server(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
            sock.setblocking(False)
            await self.server.listen(manifest.listeners[0], sock)

    def connect(self, timeout: float = 10.0) -> Client:
        self._clients.append(Client(self.port, timeout))
        return self._clients[-1]

    def close(self) -> None:
        if self.port:
            self.call(self.server.drain(0.2))
            self.call(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        for client in self._clients:
            client.close()


class Reply:
    """A parsed response; ``raw`` is what came."""

    def __init__(self, head: bytes, body: bytes, interim: list[bytes]) -> None:
        lines = head.split(b"\r\n")
        self.raw = head
        self.status = int(lines[0].split(b" ")[1])
        self.fields = [
            (n.lower().decode(), v.strip().decode("latin-1")) for n, _, v in (x.partition(b":") for x in lines[1:] if x)
        ]
        self.body = body
        self.interim = interim
        self.trailers: list[bytes] = []

    def __getitem__(self, name: str) -> str:
        return dict(self.fields)[name]

    def get(self, name: str) -> str | None:
        return dict(self.fields).get(name)


class Client:
    """A raw connection to the gateway, and a strict reader of its responses."""

    def __init__(self, port: int, timeout: float) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.settimeout(timeout)
        self.buffer = b""

    def send(self, data: bytes) -> Client:
        self.sock.sendall(data)
        return self

    def _fill(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._fill()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def read_exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._fill()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def reply(self, method: str = "GET") -> Reply:
        interim = []
        while True:
            head = self.read_until(b"\r\n\r\n")
            reply = Reply(head, b"", interim)
            if reply.status >= 200:
                break
            interim.append(head)
        names = [name for name, _ in reply.fields]
        assert not ("content-length" in names and "transfer-encoding" in names)
        assert names.count("content-length") <= 1
        if method == "HEAD" or reply.status in (204, 304):
            return reply
        if "content-length" in names:
            reply.body = self.read_exactly(int(reply["content-length"]))
        elif reply.get("transfer-encoding") == "chunked":
            while size := int(self.read_until(b"\r\n"), 16):
                reply.body += self.read_exactly(size)
                assert self.read_exactly(2) == b"\r\n"
            while line := self.read_until(b"\r\n"):
                reply.trailers.append(line)
        else:
            reply.body = self.rest()
        return reply

    def rest(self) -> bytes:
        """All until the gateway closes."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                self._fill()
        rest, self.buffer = self.buffer, b""
        return rest

    def is_closed(self) -> bool:
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Upstream:
    """An upstream of sockets. ``handler`` is given each connection; without one, each request gets ``OK``.

    Attributes:
        received: what each connection has sent so far, in the order of the connections.
    """

    def __init__(self, handler: Callable[[Peer], None] | None = None) -> None:
        self.handler = handler or answer_all
        self.received: list[bytearray] = []
        self.peers: list[Peer] = []
        self.errors: list[BaseException] = []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            log = bytearray()
            self.received.append(log)
            peer = Peer(sock, log)
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: Peer) -> None:
        try:
            self.handler(peer)
        except (OSError, EOFError):
            pass
        except BaseException as error:  # noqa: BLE001
            self.errors.append(error)
        finally:
            with contextlib.suppress(OSError):
                peer.sock.close()

    @property
    def seen(self) -> bytes:
        return b"".join(bytes(log) for log in self.received)

    def close(self) -> None:
        self.sock.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)


class Peer:
    """One connection at the upstream."""

    def __init__(self, sock: socket.socket, log: bytearray) -> None:
        self.sock = sock
        self.sock.settimeout(20)
        self.log = log
        self.buffer = b""

    def fill(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError
        self.log += data
        self.buffer += data

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self.fill()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self.fill()
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    def head(self) -> dict[str, str]:
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = {"": lines[0]}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            fields[name.lower()] = value
        return fields

    def request(self) -> tuple[dict[str, str], bytes]:
        fields = self.head()
        body = b""
        if "content-length" in fields:
            body = self.exactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked":
            while size := int(self.until(b"\r\n"), 16):
                body += self.exactly(size)
                self.until(b"\r\n")
            while self.until(b"\r\n"):
                pass
        return fields, body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait_closed(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.sock.recv(1 << 16):
                self.log += data


def answer_all(peer: Peer) -> None:
    while True:
        fields, _ = peer.request()
        head = fields[""].startswith("HEAD ")
        peer.send(OK[:-2] if head else OK)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    yield gateway
    gateway.close()
    faults = [event for event in gateway.events if type(event).__name__ == "InternalFault"]
    assert not faults, faults


@pytest.fixture
def upstreams() -> Iterator[Callable[..., Upstream]]:
    made: list[Upstream] = []

    def make(handler: Callable[[Peer], None] | None = None) -> Upstream:
        made.append(Upstream(handler))
        return made[-1]

    yield make
    for upstream in made:
        upstream.close()
        assert not upstream.errors, upstream.errors


@pytest.fixture
def proxy(gateway: Gateway, upstreams: Callable[..., Upstream]) -> Callable[..., tuple[Gateway, Upstream]]:
    """``proxy(handler, **route)``: a gateway with one route to one upstream."""

    def make(
        handler: Callable[[Peer], None] | None = None,
        listener: dict[str, Any] | None = None,
        service: dict[str, Any] | None = None,
        **route: Any,
    ) -> tuple[Gateway, Upstream]:
        upstream = upstreams(handler)
        gateway.apply(
            {
                "listeners": [{"bind": "127.0.0.1:0", **(listener or {})}],
                "services": [{"name": "up", "targets": [upstream.url], **(service or {})}],
                "routes": [{"name": "all", "service": "up", **route}],
            }
        )
        return gateway, upstream

    return make


@pytest.fixture(scope="module")
def shared_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Upstream]]:
    """One gateway and upstream for a whole module, which must leave them as they were."""
    upstream = Upstream()
    gateway = Gateway(tmp_path_factory.mktemp("run"))
    gateway.apply(
        {"services": [{"name": "up", "targets": [upstream.url]}], "routes": [{"name": "all", "service": "up"}]}
    )
    yield gateway, upstream
    gateway.close()
    upstream.close()
    assert not upstream.errors
    assert not gateway.events, gateway.events
