"""The upstream of the case streams: chunked event streams at a steady rate.

``GET /events`` never ends; ``GET /events?count=N`` ends after N events. Every event is a chunk of its
own and holds one ``~``, so that a reader can count events however the bytes were cut on their way.
Streams are spread over the interval, so that their events do not come in one burst.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import time

import uvloop

PHASES = 20
#: A reader that falls this far behind is cut off; the client then reports a broken stream.
MAX_BUFFERED = 1 << 20

_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_COUNT = re.compile(rb"GET /events\?count=(\d{1,9}) ")


def event(payload: int) -> bytes:
    """One event whose data is ``payload`` bytes long."""
    return b"data: ~" + b"x" * (payload - 1) + b"\n\n"


class Stream(asyncio.Protocol):
    def __init__(self, clock: Clock, chunk: bytes) -> None:
        self.clock = clock
        self.chunk = chunk
        self.received = b""
        self.remaining = 0
        self.phase: set[Stream] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, self.received = self.received.partition(b"\r\n\r\n")
        if not end:
            self.received = head
            return
        counted = _COUNT.match(head)
        self.remaining = int(counted[1]) if counted else -1
        self.transport.write(_HEAD)
        self.send()
        if self.remaining:
            self.clock.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.clock.discard(self)

    def send(self) -> None:
        self.transport.write(self.chunk)
        self.remaining -= 1
        if self.remaining == 0:
            self.transport.write(b"0\r\n\r\n")
            self.clock.discard(self)
        elif self.transport.get_write_buffer_size() > MAX_BUFFERED:
            self.transport.abort()


class Clock:
    """Makes every stream send once per interval."""

    def __init__(self, interval: float) -> None:
        self.tick = interval / PHASES
        self.phases: list[set[Stream]] = [set() for _ in range(PHASES)]

    def add(self, stream: Stream) -> None:
        stream.phase = min(self.phases, key=len)
        stream.phase.add(stream)

    def discard(self, stream: Stream) -> None:
        if stream.phase is not None:
            stream.phase.discard(stream)

    async def run(self) -> None:
        due = time.monotonic()
        while True:
            for phase in self.phases:
                for stream in tuple(phase):
                    stream.send()
                due += self.tick
                if due > (now := time.monotonic()):
                    await asyncio.sleep(due - now)


async def serve(port: int, interval: float, payload: int) -> None:
    loop = asyncio.get_running_loop()
    clock = Clock(interval)
    data = event(payload)
    chunk = b"%x\r\n%s\r\n" % (len(data), data)
    server = await loop.create_server(lambda: Stream(clock, chunk), "127.0.0.1", port, backlog=4096)
    running = asyncio.ensure_future(clock.run())
    loop.add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=18900)
    parser.add_argument("--interval", type=float, default=0.02, help="seconds between two events of a stream")
    parser.add_argument("--payload", type=int, default=64, help="bytes of data in an event")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.interval, arguments.payload))


if __name__ == "__main__":
    main()
