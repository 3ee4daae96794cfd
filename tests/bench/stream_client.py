"""Readers of event streams, and the time that a new stream takes to begin."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from process_tree import cpu_seconds, tree_memory
from settings import HERE, UPSTREAM_PORT, BenchError

REQUEST = (
    b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/1.0 (x86_64; linux)\r\n"
    b"Accept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n"
)
MARK = b"~"
SETTLE_SECONDS = 1.0
OPEN_SECONDS = 10.0
PROBE_PAUSE = 0.01
#: Of the events that the upstream sends; below, the load was not what it is said to be.
LEAST_DELIVERED = 0.9


@dataclass(frozen=True, slots=True)
class Streamed:
    """What one run over a gateway gave. Times in seconds; ``first_byte`` from connect to first event."""

    events: int
    seconds: float
    cpu: float
    rss: int
    pss: int
    first_byte: tuple[float, ...]
    direct_first_byte: tuple[float, ...]


class EventReader(asyncio.Protocol):
    """Counts the events of one stream."""

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.events = 0
        self.on_first = on_first
        self.failure: str | None = None
        self.head: bytes | None = b""
        self.is_closing = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        if self.head is not None:
            data = self.read_head(data)
        if MARK in data:
            if not self.events:
                self.on_first()
            self.events += data.count(MARK)

    def read_head(self, data: bytes) -> bytes:
        assert self.head is not None
        head, end, rest = (self.head + data).partition(b"\r\n\r\n")
        self.head = None if end else head
        if end and not (head.startswith(b"HTTP/1.1 200") and b"transfer-encoding: chunked" in head.lower()):
            self.fail(f"a stream began with {head[:200]!r}")
        return rest

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_closing:
            self.fail(f"a stream broke off after {self.events} events")

    def fail(self, why: str) -> None:
        self.failure = self.failure or why
        self.on_first()

    def close(self) -> None:
        self.is_closing = True
        self.transport.abort()


async def open_stream(port: int) -> tuple[EventReader, float]:
    """A stream, and the seconds from before the connection to its first event.

    Raises:
        BenchError: it did not begin as it should.
    """
    loop = asyncio.get_running_loop()
    first: asyncio.Future[float] = loop.create_future()
    # Not the loop's clock: uvloop's stands still while an iteration runs, and counts milliseconds.
    began = time.perf_counter()
    _, reader = await loop.create_connection(
        lambda: EventReader(lambda: None if first.done() else first.set_result(time.perf_counter())), "127.0.0.1", port
    )
    try:
        ended = await asyncio.wait_for(first, OPEN_SECONDS)
    except TimeoutError:
        raise BenchError(f"port {port} began no stream within {OPEN_SECONDS:.0f} s") from None
    if reader.failure:
        raise BenchError(reader.failure)
    return reader, ended - began


class Sink:
    """A process that holds streams open and reads them, apart from the one that takes times."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def count(self) -> int:
        """Events read so far by all streams.

        Raises:
            BenchError: a stream has failed.
        """
        assert self.process.stdin is not None
        self.process.stdin.write("count\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"the reader of streams ended with status {self.process.wait()}")
        told = json.loads(line)
        if told["failures"]:
            raise BenchError(f"{len(told['failures'])} streams failed; the first: {told['failures'][0]}")
        return int(told["events"])


@contextmanager
def sink(port: int, streams: int) -> Iterator[Sink]:
    """All streams are open when it is entered.

    Raises:
        BenchError: they do not open.
    """
    argv = [sys.executable, str(HERE / "stream_sink.py"), str(port), str(streams)]
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, bufsize=1
    )
    try:
        found = Sink(process)
        found.answer()
        yield found
    finally:
        process.kill()
        process.communicate()


async def measure(port: int, root: int, *, streams: int, interval: float, seconds: float) -> Streamed:
    """CPU per event with all streams open, then the time to the first byte of further ones.

    Raises:
        BenchError: a stream failed, or fewer events arrived than were to be sent.
    """
    with sink(port, streams) as readers:
        await asyncio.sleep(SETTLE_SECONDS)
        before, began, cpu = readers.count(), time.perf_counter(), cpu_seconds(root)
        await asyncio.sleep(seconds)
        events, took, cpu = readers.count() - before, time.perf_counter() - began, cpu_seconds(root) - cpu
        memory = tree_memory(root)
        through, direct = await _first_bytes(port, seconds)
        readers.count()
    expected = streams * took / interval
    if events < expected * LEAST_DELIVERED:
        raise BenchError(f"{events} events arrived of about {expected:.0f}; lower the load or look for what is slow")
    return Streamed(events, took, cpu, memory.rss, memory.pss, tuple(through), tuple(direct))


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


async def _first_bytes(port: int, seconds: float) -> tuple[list[float], list[float]]:
    """Through the gateway and straight to the upstream, turn about."""
    end = time.perf_counter() + seconds
    through: list[float] = []
    direct: list[float] = []
    while time.perf_counter() < end or len(direct) < 2:
        for target, times in ((port, through), (UPSTREAM_PORT, direct)):
            reader, taken = await open_stream(target)
            times.append(taken)
            reader.close()
            await asyncio.sleep(PROBE_PAUSE)
    return through, direct
