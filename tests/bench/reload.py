"""Reloads while requests pass: routes added, changed and removed, again and again.

python tests/bench/reload.py [--reloads N] [--per-second N] [--rate N] [--by signal|watch|command]
                             [--json FILE] [--enforce]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from checks import BODY_BYTES
from command import run_command, say
from findings import Finding, conclude, latency_findings
from gateway import Gateway, as_yaml, gateway, plain_manifest, worker_of
from load_process import Seen, SteadyLoadProcess, steady_load
from peers import require_debian
from process_tree import memory, tree_memory
from reloader import WAYS, Reloader
from servers import ANY_CORE, static_upstream
from settings import GATEWRIGHT_PORT, BenchError, pin_to_load_core

STEADY_ROUTES = 20
CHANGED_ROUTES = 10
SETTLE_SECONDS = 2.0
MB = 1e6


def manifest(version: int) -> dict[str, Any]:
    """Routes that stay, routes that differ in each version, and one that only this version has."""
    steady = [_route(f"steady-{index}", f"/steady/{index}/*") for index in range(STEADY_ROUTES)]
    changed = [
        {
            **_route(f"changed-{index}", f"/changed/{index}/*"),
            "priority": version % 3,
            "timeouts": {"first_byte": 30 + (version + index) % 20},
            "limits": {"body_bytes": 1_000_000 + version},
            "rewrite": f"/v{version}/{{rest}}",
        }
        for index in range(CHANGED_ROUTES)
    ]
    own = [_route(f"version-{version}", f"/version/{version}")]
    return plain_manifest([*own, *changed, *steady] if version % 2 else [*steady, *changed, *own])


def load_paths() -> list[str]:
    steady = [f"127.0.0.1 /steady/{index}/items" for index in range(STEADY_ROUTES)]
    changed = [f"127.0.0.1 /changed/{index}/items" for index in range(CHANGED_ROUTES)]
    return steady + changed


def measure(under_test: Gateway, load: SteadyLoadProcess, arguments: argparse.Namespace) -> list[Finding]:
    # Written beforehand: the time that it takes is the load's as well.
    texts = [as_yaml(manifest(number)) for number in range(arguments.reloads + 1)]
    reloader = Reloader(under_test, arguments.by, texts.__getitem__)
    time.sleep(SETTLE_SECONDS)
    load.look()
    say(f"{arguments.seconds} s without reloads")
    calm = _look_after(load, arguments.seconds)
    worker, whole = memory(under_test.worker).rss, tree_memory(under_test.process.pid).rss
    say(f"{arguments.reloads} reloads")
    began = time.perf_counter()
    for number in range(arguments.reloads):
        reloader.apply_next()
        time.sleep(max(0.0, began + (number + 1) / arguments.per_second - time.perf_counter()))
    during = load.look()
    say(f"{arguments.seconds} s without reloads")
    time.sleep(SETTLE_SECONDS)
    load.look()
    calm = calm.with_(_look_after(load, arguments.seconds))
    if worker_of(under_test.process.pid) != under_test.worker:
        raise BenchError("the worker that was measured has been replaced by another")
    grown = memory(under_test.worker).rss / worker - 1
    whole_grown = tree_memory(under_test.process.pid).rss / whole - 1
    return [
        *latency_findings(calm, during, ratio_limit=1.3),
        Finding("reloads", arguments.reloads, ""),
        Finding("reload, median", _at(reloader.seconds, 0.5) * 1e3, "ms"),
        Finding("reload, p99", _at(reloader.seconds, 0.99) * 1e3, "ms"),
        Finding("worker, resident before", worker / MB, "MB"),
        Finding("worker, growth", grown * 100, "%", limit=5),
        Finding("all processes, growth", whole_grown * 100, "%"),
    ]


def _route(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "match": {"paths": [path]}, "service": "upstream"}


def _look_after(load: SteadyLoadProcess, seconds: float) -> Seen:
    time.sleep(seconds)
    return load.look()


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def bench(arguments: argparse.Namespace) -> int:
    pin_to_load_core()
    require_debian(("nginx", "nginx"))
    # The supervisor compiles while the worker serves, on whichever core is free, as on any machine.
    with (
        static_upstream(),
        gateway(manifest(0), core=ANY_CORE) as under_test,
        steady_load(
            GATEWRIGHT_PORT,
            rate=arguments.rate,
            connections=arguments.connections,
            body_bytes=BODY_BYTES,
            paths=load_paths(),
        ) as load,
    ):
        findings = measure(under_test, load, arguments)
    return conclude(findings, arguments.json, enforce=arguments.enforce)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reload the gateway again and again under load.")
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--per-second", type=float, default=10.0, help="reloads, at most")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load without reloads, before and after")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--by", choices=WAYS, default="signal", help="what starts a reload")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--enforce", action="store_true", help="end with status 1 if a goal is missed")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(run_command(lambda: bench(_parse(sys.argv[1:]))))
