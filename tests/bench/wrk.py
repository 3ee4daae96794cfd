"""Load by wrk: as many requests as one connection each at a time will carry."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servers import program
from settings import HERE, BenchError

ERRORS = ("connect", "read", "write", "status", "timeout")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. Latencies in seconds."""

    requests: int
    seconds: float
    bytes: int
    p50: float
    p99: float
    max: float


def drive(
    url: str,
    *,
    seconds: int,
    connections: int,
    least_bytes: int,
    headers: Mapping[str, str] | None = None,
    paths: Path | None = None,
) -> Load:
    """Load the URL, or go round the ``HOST PATH`` lines of a file there.

    Args:
        least_bytes: what a right response is at least long; shorter ones are an error.

    Raises:
        BenchError: a request failed: a socket error, a time-out, a status other than 2xx.
    """
    argv = [program("wrk"), "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=5s"]
    argv += [f"--script={HERE / 'load.lua'}", *(f"--header={name}: {value}" for name, value in (headers or {}).items())]
    argv += [url, "--", *([str(paths)] if paths else [])]
    finished = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=seconds + 30)
    return parse(finished.stdout, finished.stdout + finished.stderr, least_bytes)


def parse(output: str, log: str, least_bytes: int) -> Load:
    """The summary line of load.lua.

    Raises:
        BenchError: there is none, or it tells of errors.
    """
    line = next((line for line in output.splitlines() if line.startswith("SUMMARY ")), None)
    if line is None:
        raise BenchError(f"wrk gave no summary:\n{log}")
    told = json.loads(line.removeprefix("SUMMARY "))
    errors = {kind: told[kind] for kind in ERRORS if told[kind]}
    if errors:
        raise BenchError(f"requests failed under load: {errors}")
    if not told["requests"]:
        raise BenchError("no request was answered under load")
    if told["bytes"] < told["requests"] * least_bytes:
        raise BenchError(
            f"{told['requests']} responses came to {told['bytes']} bytes; right ones have at least {least_bytes} each"
        )
    return Load(
        requests=told["requests"],
        seconds=told["microseconds"] / 1e6,
        bytes=told["bytes"],
        p50=told["p50"] / 1e6,
        p99=told["p99"] / 1e6,
        max=told["max"] / 1e6,
    )
