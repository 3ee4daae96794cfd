"""Requests at a fixed rate over keep-alive connections, and what became of each.

    python steady_load.py PORT RATE CONNECTIONS BODY_BYTES    (paths on standard input, then an empty line)

After that every line of input is answered by one line of JSON about the requests since the line before.
Latency counts from the moment a request was handed out, the wait for a free connection included, so a
server that stands still is charged for all that waited. A process of its own: what prepares
configurations must not delay what takes times.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from array import array
from collections import Counter, deque

import httptools
import uvloop

TICK = 0.001


class Record:
    """Of the requests since the last line of input."""

    def __init__(self) -> None:
        self.microseconds = array("I")
        self.failures: Counter[str] = Counter()
        self.reconnects = 0


class Connection(asyncio.Protocol):
    """One request at a time; opened again when the server closes it between two."""

    def __init__(self, load: SteadyLoad) -> None:
        self.load = load
        self.handed_out: float | None = None
        self.body = 0
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.load.idle.append(self)

    def send(self, request: bytes, handed_out: float) -> None:
        self.handed_out = handed_out
        self.body = 0
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.settle(f"not HTTP: {error}")
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        self.body += len(body)

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        if status != 200:
            self.settle(f"status {status}")
        elif self.body != self.load.body_bytes:
            self.settle("wrong body")
        else:
            self.settle(None)
        if not self.transport.is_closing():
            self.load.idle.append(self)

    def settle(self, failure: str | None) -> None:
        if self.handed_out is None:
            return
        if failure is None:
            self.load.record.microseconds.append(int((time.perf_counter() - self.handed_out) * 1e6))
        else:
            self.load.record.failures[failure] += 1
        self.handed_out = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.settle("connection closed")
        self.load.replace(self)


class SteadyLoad:
    """Sends what is due, on whichever connection is idle."""

    def __init__(self, port: int, rate: float, connections: int, body_bytes: int, requests: list[bytes]) -> None:
        self.port = port
        self.rate = rate
        self.connections = connections
        self.body_bytes = body_bytes
        self.requests = requests
        self.record = Record()
        self.idle: deque[Connection] = deque()
        self.waiting: deque[tuple[bytes, float]] = deque()
        self.opening: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
        except OSError as error:
            self.record.failures[f"connect: {error.strerror}"] += 1
            await asyncio.sleep(0.05)
            self.reopen()

    def reopen(self) -> None:
        task = asyncio.get_running_loop().create_task(self.open())
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    def replace(self, connection: Connection) -> None:
        if connection in self.idle:
            self.idle.remove(connection)
        self.record.reconnects += 1
        self.reopen()

    async def run(self) -> None:
        for _ in range(self.connections):
            await self.open()
        began = time.perf_counter()
        sent = 0
        while True:
            now = time.perf_counter()
            due = int((now - began) * self.rate)
            for number in range(sent, due):
                self.waiting.append((self.requests[number % len(self.requests)], now))
            sent = due
            while self.waiting and self.idle:
                self.idle.popleft().send(*self.waiting.popleft())
            await asyncio.sleep(TICK)

    def tell(self) -> None:
        record, self.record = self.record, Record()
        told = {
            "microseconds": record.microseconds.tolist(),
            "failures": record.failures,
            "reconnects": record.reconnects,
            "waiting": len(self.waiting),
        }
        print(json.dumps(told), flush=True)
        # Objects that live on are no work for the collector, whose pauses would be taken for the server's.
        gc.freeze()


async def main(port: int, rate: float, connections: int, body_bytes: int) -> None:
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    requests = []
    while line := (await lines.readline()).strip():
        host, path = line.split()
        requests.append(b"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n" % (path, host))
    load = SteadyLoad(port, rate, connections, body_bytes, requests)
    running = loop.create_task(load.run())
    while await lines.readline():
        if running.done():
            running.result()
        load.tell()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
