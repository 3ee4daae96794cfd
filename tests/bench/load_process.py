"""The process of steady_load.py, from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from settings import HERE, BenchError


@dataclass(frozen=True, slots=True)
class Seen:
    """Of the requests between two looks. Latencies in seconds, sorted."""

    latencies: tuple[float, ...]
    failures: Counter[str]
    reconnects: int

    def at(self, share: float) -> float:
        """The latency that this share of the requests does not exceed."""
        if not self.latencies:
            raise BenchError("no request was answered")
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)]

    def with_(self, other: Seen) -> Seen:
        """Both together."""
        return Seen(
            tuple(sorted(self.latencies + other.latencies)),
            self.failures + other.failures,
            self.reconnects + other.reconnects,
        )


class SteadyLoadProcess:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def look(self) -> Seen:
        """What happened since the last look.

        Raises:
            BenchError: the process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("look\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"the steady load ended with status {self.process.wait()}")
        told = json.loads(line)
        latencies = tuple(sorted(microseconds / 1e6 for microseconds in told["microseconds"]))
        return Seen(latencies, Counter(told["failures"]), told["reconnects"])


@contextmanager
def steady_load(
    port: int, *, rate: float, connections: int, body_bytes: int, paths: list[str]
) -> Iterator[SteadyLoadProcess]:
    """Runs through the block.

    Args:
        paths: lines ``HOST PATH``, requested in turn.
    """
    argv = [sys.executable, str(HERE / "steady_load.py"), str(port), str(rate), str(connections), str(body_bytes)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdin is not None
        process.stdin.write("".join(f"{line}\n" for line in [*paths, ""]))
        process.stdin.flush()
        yield SteadyLoadProcess(process)
    finally:
        process.kill()
        process.communicate()
