"""What many routes cost: a request, a check, a reload.

    python tests/bench/routes.py [--routes N] [--rounds N] [--seconds S] [--json FILE] [--enforce]

Requests go round all routes, so that no cache of decisions hides the cost of finding one.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks import BODY_BYTES
from command import run_command, say
from findings import Finding, conclude, latency_findings
from gateway import as_yaml, gateway, plain_manifest
from load_process import steady_load
from peers import gatewright_program, require_debian
from process_tree import cpu_seconds, memory
from reloader import Reloader
from servers import ANY_CORE, static_upstream
from settings import GATEWRIGHT_PORT, SCRATCH, BenchError, Cores, pin_to_load_core
from wrk import drive

FEW = 10
RELOADS = 5
WARM_UP_SECONDS = 2
SETTLE_SECONDS = 2.0
MB = 1e6


def routes(count: int) -> list[dict[str, Any]]:
    """Exact paths, prefixes and templates in turn, ten to a host."""
    return [_route(index) for index in range(count)]


def paths(count: int) -> list[str]:
    """``HOST PATH`` of a request for each route."""
    return [f"{_host(index)} {_request_path(index)}" for index in range(count)]


def cost_of_a_request(many: int, arguments: argparse.Namespace, cores: Cores) -> Iterator[Finding]:
    """Few routes and many in alternating rounds."""
    taken: dict[int, list[float]] = {FEW: [], many: []}
    held: dict[int, list[float]] = {FEW: [], many: []}
    with static_upstream():
        for number in range(arguments.rounds):
            for count in (FEW, many) if number % 2 == 0 else (many, FEW):
                say(f"round {number + 1} of {arguments.rounds}, {count} routes")
                cpu, resident = _cpu_per_request(count, arguments.seconds, cores)
                taken[count].append(cpu)
                held[count].append(resident)
    for count in (FEW, many):
        yield Finding(f"{count} routes, CPU per request", statistics.median(taken[count]) * 1e6, "µs")
        yield Finding(f"{count} routes, worker resident", statistics.median(held[count]) / MB, "MB")
    ratio = statistics.median(after / before for before, after in zip(taken[FEW], taken[many], strict=True))
    yield Finding(f"CPU per request, {many} routes to {FEW}", ratio, "", limit=1.2)


def cost_of_a_check(many: int) -> Iterator[Finding]:
    """`gatewright check`, which reads, validates and compiles as the gateway does; its start is in both."""
    seconds = {count: _check_seconds(count) for count in (FEW, many)}
    for count, taken in seconds.items():
        yield Finding(f"{count} routes, gatewright check", taken, "s")
    yield Finding(f"read, validate and compile {many} routes", seconds[many] - seconds[FEW], "s")


def cost_of_a_reload(many: int, arguments: argparse.Namespace) -> Iterator[Finding]:
    """Many routes replaced under a light load: how long it takes, and what requests notice."""
    with (
        static_upstream(),
        gateway(_versioned(0, many), core=ANY_CORE) as under_test,
        steady_load(
            GATEWRIGHT_PORT, rate=arguments.rate, connections=16, body_bytes=BODY_BYTES, paths=paths(FEW)
        ) as load,
    ):
        time.sleep(SETTLE_SECONDS)
        load.look()
        time.sleep(arguments.seconds)
        calm = load.look()
        reloader = Reloader(under_test, "signal", lambda version: as_yaml(_versioned(version, many)))
        for _ in range(RELOADS):
            reloader.apply_next()
        time.sleep(SETTLE_SECONDS)
        during = load.look()
    yield Finding(
        f"reload of {many} routes, from the signal to the first answer", statistics.median(reloader.seconds), "s"
    )
    yield from latency_findings(calm, during)


def _versioned(version: int, count: int) -> dict[str, Any]:
    own = {"name": f"version-{version}", "match": {"paths": [f"/version/{version}"]}, "service": "upstream"}
    return plain_manifest([*routes(count), own])


def _route(index: int) -> dict[str, Any]:
    path = ("/api/v1/exact-{0}", "/api/v1/prefix-{0}/*", "/api/v1/template-{0}/{{item}}/play")[index % 3].format(index)
    return {"name": f"route-{index}", "match": {"hosts": [_host(index)], "paths": [path]}, "service": "upstream"}


def _request_path(index: int) -> str:
    return ("/api/v1/exact-{0}", "/api/v1/prefix-{0}/a/b", "/api/v1/template-{0}/42/play")[index % 3].format(index)


def _host(index: int) -> str:
    return f"host-{index // 10}.example.com"


def _cpu_per_request(count: int, seconds: int, cores: Cores) -> tuple[float, int]:
    """Seconds of CPU, and the worker's resident bytes."""
    listed = SCRATCH / "paths.txt"
    listed.write_text("".join(f"{line}\n" for line in paths(count)))
    with gateway(plain_manifest(routes(count)), cores.measured) as under_test:
        url = f"http://127.0.0.1:{GATEWRIGHT_PORT}"
        drive(url, seconds=WARM_UP_SECONDS, connections=64, least_bytes=BODY_BYTES, paths=listed)
        before = cpu_seconds(under_test.process.pid)
        load = drive(url, seconds=seconds, connections=64, least_bytes=BODY_BYTES, paths=listed)
        cpu = cpu_seconds(under_test.process.pid) - before
        return cpu / load.requests, memory(under_test.worker).rss


def _check_seconds(count: int) -> float:
    path = SCRATCH / "manifests" / "check.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_yaml(plain_manifest(routes(count))))
    began = time.perf_counter()
    finished = subprocess.run([gatewright_program(), "check", str(path)], capture_output=True, text=True, check=False)
    if finished.returncode:
        raise BenchError(f"gatewright check ended with status {finished.returncode}: {finished.stderr[:1000]}")
    return time.perf_counter() - began


def bench(arguments: argparse.Namespace) -> int:
    cores = pin_to_load_core()
    require_debian(("wrk", "wrk"), ("nginx", "nginx"), ("taskset", "util-linux"))
    findings = [
        *cost_of_a_request(arguments.routes, arguments, cores),
        *cost_of_a_check(arguments.routes),
        *cost_of_a_reload(arguments.routes, arguments),
    ]
    return conclude(findings, arguments.json, enforce=arguments.enforce)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what many routes cost.")
    parser.add_argument("--routes", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of measuring each")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second during reloads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--enforce", action="store_true", help="end with status 1 if a goal is missed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(lambda: bench(_parse(sys.argv[1:]))))
