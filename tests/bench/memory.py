"""What the gateway's worker holds: idle, per connection, per stream, and while large bodies pass.

python tests/bench/memory.py [--connections N] [--streams N] [--gigabytes N] [--json FILE] [--enforce]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from command import run_command
from findings import Finding, conclude
from gateway import Gateway, gateway, stock_manifest
from peers import require_debian
from process_tree import memory
from servers import Launch, serving, static_upstream, stream_upstream
from settings import GATEWRIGHT_PORT, HERE, UPSTREAM_PORT, BenchError, Cores, pin_to_load_core
from stream_client import sink

PATH = "/api/items?page=2"
WARM_UP_REQUESTS = 500
SETTLE_SECONDS = 1.0
STALL_SECONDS = 3.0
SAMPLE_SECONDS = 0.02
BLOCK = 256 * 1024
#: Bytes of a body that pass before its memory is compared, so that buffers have their size.
LEAD = 64 * BLOCK
EVENT_SECONDS = 1.0
MB = 1e6
_PAGE = os.sysconf("SC_PAGE_SIZE")


def manifest(connections: int) -> dict[str, Any]:
    """The stock manifest, open to as many connections of one client."""
    found = stock_manifest()
    (listener,) = found["listeners"]
    limits = {"connections": connections + 1000, "connections_per_client": connections + 1000}
    listener["limits"] = {**listener.get("limits", {}), **limits}
    listener["timeouts"] = {**listener.get("timeouts", {}), "keep_alive": "10m"}
    for service in found["services"]:
        service["pool"] = {**service.get("pool", {}), "max_connections": connections + 1000}
    return found


def idle_and_connections(connections: int, cores: Cores) -> Iterator[Finding]:
    """A worker that has answered a few requests, then with connections that each have had one."""
    with static_upstream(), gateway(manifest(connections), cores.measured) as under_test, ExitStack() as open_sockets:
        first = open_sockets.enter_context(_connect())
        for _ in range(WARM_UP_REQUESTS):
            _request_on(first)
        time.sleep(SETTLE_SECONDS)
        idle = memory(under_test.worker)
        yield Finding("idle worker, resident", idle.rss / MB, "MB", limit=60)
        yield Finding("idle worker, proportional", idle.pss / MB, "MB")
        yield Finding("supervisor, resident", memory(under_test.process.pid).rss / MB, "MB")
        for _ in range(connections):
            _request_on(open_sockets.enter_context(_connect()))
        time.sleep(SETTLE_SECONDS)
        grown = _resident(under_test.worker) - idle.rss
        yield Finding(f"per idle connection, {connections} open", grown / connections / 1e3, "kB", limit=12)


def streams(count: int, cores: Cores) -> Iterator[Finding]:
    """Event streams that stay open and send now and then."""
    with stream_upstream(EVENT_SECONDS, 64), gateway(manifest(count), cores.measured) as under_test:
        with sink(GATEWRIGHT_PORT, 1):
            time.sleep(SETTLE_SECONDS)
        before = _resident(under_test.worker)
        with sink(GATEWRIGHT_PORT, count) as readers:
            time.sleep(EVENT_SECONDS * 2)
            grown = _resident(under_test.worker) - before
            readers.count()
        yield Finding(f"per open stream, {count} open", grown / count / 1024, "KiB", limit=64)


def bodies(size: int, cores: Cores) -> Iterator[Finding]:
    """A body each way, and a body each way that its receiver stops reading."""
    with _bulk_upstream(), gateway(manifest(100), cores.measured) as under_test:
        for name, transfer in (("download", download), ("upload", upload)):
            transfer(LEAD)
            began = time.perf_counter()
            grown = _growth_while(under_test, lambda transfer=transfer: transfer(size))  # type: ignore[misc]
            seconds = time.perf_counter() - began
            yield Finding(f"{name} of {size / 1e9:g} GB, memory added", grown / MB, "MB", limit=10)
            yield Finding(f"{name} of {size / 1e9:g} GB, rate", size / MB / seconds, "MB/s")
        for name, stall in (("download", stalled_download), ("upload", stalled_upload)):
            grown = _growth_while(under_test, lambda stall=stall: stall(size))  # type: ignore[misc]
            yield Finding(f"stalled {name}, memory added", grown / MB, "MB", limit=10)


def download(size: int) -> None:
    """Raises BenchError unless exactly so many bytes arrive."""
    with _connect() as connection:
        received = len(_begin_download(connection, size))
        buffer = bytearray(BLOCK)
        while received < size and (count := connection.recv_into(buffer)):
            received += count
    if received != size:
        raise BenchError(f"{received} of {size} bytes arrived")


def upload(size: int) -> None:
    """Raises BenchError unless the upstream got exactly so many bytes."""
    with _connect() as connection:
        _begin_upload(connection, "/bytes", size)
        block = memoryview(bytes(BLOCK))
        remaining = size
        while remaining > 0:
            connection.sendall(block[:remaining])
            remaining -= BLOCK
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = response.read()
    if response.status != 200 or json.loads(body) != {"received": size}:
        raise BenchError(f"after an upload of {size} bytes the upstream answered {response.status} {body[:200]!r}")


def stalled_download(size: int) -> None:
    """Begin to read, then leave the rest for a while."""
    with _connect() as connection:
        _begin_download(connection, size)
        time.sleep(STALL_SECONDS)


def stalled_upload(size: int) -> None:
    """Send to an upstream that does not read, as long as the gateway takes it.

    Raises:
        BenchError: the gateway took all of it.
    """
    block = bytes(BLOCK)
    with _connect() as connection:
        _begin_upload(connection, "/stalled", size)
        connection.settimeout(STALL_SECONDS)
        remaining = size
        while remaining > 0:
            try:
                remaining -= connection.send(block)
            except TimeoutError:
                return
    raise BenchError(f"the gateway took {size} bytes for an upstream that reads none")


@contextmanager
def _bulk_upstream() -> Iterator[None]:
    with serving(Launch("bulk-upstream", [sys.executable, str(HERE / "upstream" / "bulk.py")], UPSTREAM_PORT, None)):
        yield


def _begin_download(connection: socket.socket, size: int) -> bytes:
    """The first bytes of the body."""
    connection.sendall(b"GET /bytes?size=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % size)
    return _read_head(connection, size)


def _begin_upload(connection: socket.socket, path: str, size: int) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
    connection.sendall(head.encode())


def _connect() -> socket.socket:
    return socket.create_connection(("127.0.0.1", GATEWRIGHT_PORT), timeout=60)


def _request_on(connection: socket.socket) -> None:
    connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/1.0\r\n\r\n".encode())
    response = http.client.HTTPResponse(connection)
    response.begin()
    body = response.read()
    if response.status != 200:
        raise BenchError(f"the gateway answers {response.status} {body[:200]!r}")


def _read_head(connection: socket.socket, length: int) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read:
        data = connection.recv(65536)
        if not data:
            raise BenchError(f"the connection closed after {read[:200]!r}")
        read += data
    head, _, rest = read.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200") or b"content-length: %d" % length not in head.lower():
        raise BenchError(f"the gateway answers {head[:400]!r}")
    return rest


def _growth_while(under_test: Gateway, work: Callable[[], None]) -> int:
    """The most that the worker held above what it held before, sampled while work is done."""
    before = highest = _resident(under_test.worker)
    failures: list[Exception] = []
    thread = threading.Thread(target=_run_into, args=(work, failures), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(SAMPLE_SECONDS)
        highest = max(highest, _resident(under_test.worker))
    if failures:
        raise failures[0]
    return highest - before


def _run_into(work: Callable[[], None], failures: list[Exception]) -> None:
    try:
        work()
    except (BenchError, OSError) as error:
        failures.append(error)


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def bench(arguments: argparse.Namespace) -> int:
    cores = pin_to_load_core()
    require_debian(("nginx", "nginx"), ("taskset", "util-linux"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    findings = [
        *idle_and_connections(arguments.connections, cores),
        *streams(arguments.streams, cores),
        *bodies(int(arguments.gigabytes * 1e9), cores),
    ]
    return conclude(findings, arguments.json, enforce=arguments.enforce)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the memory of the gateway's worker.")
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--gigabytes", type=float, default=5.0, help="of a body each way")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--enforce", action="store_true", help="end with status 1 if a goal is missed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(lambda: bench(_parse(sys.argv[1:]))))
