"""Bringing versions of a manifest into force."""

from __future__ import annotations

import http.client
import signal
import subprocess
import time
from collections.abc import Callable

from gateway import Gateway
from peers import gatewright_program
from settings import GATEWRIGHT_PORT, BenchError

APPLY_SECONDS = 15.0
POLL_SECONDS = 0.002
WAYS = ("signal", "watch", "command")


class Reloader:
    """Applies one version of a manifest after another and takes the time of each.

    Version N has a route ``/version/N`` that no other has. It is in force once that answers, and its
    predecessor's does not.
    """

    def __init__(self, under_test: Gateway, by: str, text: Callable[[int], str]) -> None:
        self.under_test = under_test
        self.by = by
        self.text = text
        self.version = 0
        self.seconds: list[float] = []

    def apply_next(self) -> None:
        """Raises BenchError if the version does not come into force."""
        self.version += 1
        self.under_test.write(self.text(self.version))
        began = time.perf_counter()
        if self.by == "signal":
            self.under_test.process.send_signal(signal.SIGHUP)
        elif self.by == "command":
            self.run_command()
        self.await_version(began + APPLY_SECONDS)
        self.seconds.append(time.perf_counter() - began)

    def run_command(self) -> None:
        argv = [gatewright_program(), "reload"]
        finished = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=self.under_test.folder)
        if finished.returncode:
            raise BenchError(f"gatewright reload ended with status {finished.returncode}: {finished.stderr}")

    def await_version(self, deadline: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", GATEWRIGHT_PORT, timeout=APPLY_SECONDS)
        try:
            while _status(connection, f"/version/{self.version}") != 200:
                if time.perf_counter() > deadline:
                    raise BenchError(f"version {self.version} was not in force after {APPLY_SECONDS:.0f} s")
                time.sleep(POLL_SECONDS)
            if self.version > 1 and (status := _status(connection, f"/version/{self.version - 1}")) != 404:
                raise BenchError(f"a removed route answers {status} after reload {self.version}")
        finally:
            connection.close()


def _status(connection: http.client.HTTPConnection, path: str) -> int:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"the gateway did not answer {path}: {error}") from error
    return response.status
