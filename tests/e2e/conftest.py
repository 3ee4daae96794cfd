"""A whole gateway: the command, its supervisor and workers, a real upstream, real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

COMMAND = [sys.executable, "-m", "gatewright"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_GET(self) -> None:
        if self.path.startswith("/slow"):
            self.server.entered.set()
            self.server.release.wait(20)
        body = json.dumps({"path": self.path, "headers": dict(self.headers.items())}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Upstream(ThreadingHTTPServer):
    """Answers GET and POST with what it was asked; ``/slow`` waits for ``release``."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.entered = threading.Event()
        self.release = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave are the business of the tests, not of stderr."""


class Running:
    """A gateway that was started with the command."""

    def __init__(self, folder: Path, manifest: dict[str, Any] | str, *options: str) -> None:
        self.folder = folder
        self.path = folder / "gatewright.yaml"
        self.write(manifest)
        self.log = folder / "gateway.log"
        self.env = {**os.environ, "GATEWRIGHT_RUN_DIR": str(folder / "run")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "run", str(self.path), *options], cwd=folder, env=self.env, stdout=log, stderr=log
            )
        wait_for(
            lambda: self.process.poll() is not None or ("config 1 taken up" in self.text and " on http://" in self.text)
        )
        self.ports = [int(line.rpartition(":")[2]) for line in self.text.splitlines() if " on http://" in line]

    @property
    def text(self) -> str:
        return self.log.read_text()

    @property
    def port(self) -> int:
        return self.ports[0]

    def write(self, manifest: dict[str, Any] | str) -> None:
        """Replace the manifest in one step, as deployment tools do."""
        text = manifest if isinstance(manifest, str) else yaml.safe_dump(manifest, sort_keys=False)
        written = self.path.with_suffix(".new")
        written.write_text(text)
        written.replace(self.path)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60
        )

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return answer

    def workers(self) -> list[int]:
        return [each["pid"] for each in self.status()["workers"] if each["state"] == "ready"]

    def get(self, path: str = "/", headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, bytes]:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Load:
    """Clients that send requests one after the other, each on a connection of its own, until told to stop."""

    def __init__(self, port: int, path: str = "/", clients: int = 4) -> None:
        self.statuses: list[int] = []
        self.failures: list[str] = []
        self._port = port
        self._path = path
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop.is_set():
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                response.read()
                self.statuses.append(response.status)
            except (http.client.HTTPException, OSError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
        connection.close()

    def wait_for(self, requests: int) -> None:
        """Until so many more have been answered."""
        target = len(self.statuses) + requests
        wait_for(lambda: len(self.statuses) >= target)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """``start(manifest, *options)`` runs the command; what still runs at the end is ended, without a traceback."""
    running: list[Running] = []

    def run(manifest: dict[str, Any] | str, *options: str) -> Running:
        folder = tmp_path / str(len(running))
        folder.mkdir()
        running.append(Running(folder, manifest, *options))
        return running[-1]

    yield run
    for each in running:
        each.end()
        assert "Traceback" not in each.text, each.text
