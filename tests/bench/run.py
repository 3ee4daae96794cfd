"""Drive the gateway and its peers in turn over the same upstream and print what each costs.

    python tests/bench/run.py [--case plain|filters|streams|all] [--peers nginx,...] [--rounds N]
                              [--seconds S] [--json FILE] [--enforce]

README.md beside this file says how it measures and how to read the figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import checks
import report
import uvloop
from command import run_command, say
from peers import CASES, Peer, all_peers, require_debian, version_of
from process_tree import cpu_seconds, tree_memory
from report import PLAIN_REFERENCE, REFERENCE, Measurement, Round
from servers import serving, static_upstream, stream_upstream
from settings import BenchError, Cores, pin_to_load_core
from stream_client import measure, percentile
from wrk import drive

MB = 1e6


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how hard."""

    rounds: int
    seconds: int
    warm_up: int
    connections: int
    streams: int
    interval: float
    payload: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a case's table: a peer in one of its configurations."""

    label: str
    peer: Peer
    case: str


def entries(case: str, peers: list[Peer]) -> list[Entry]:
    """The case of every peer, and for the filters nginx without any beside them."""
    found = [Entry(peer.name, peer, case) for peer in peers]
    if case == "filters":
        found += [Entry(PLAIN_REFERENCE, peer, "plain") for peer in peers if peer.name == REFERENCE]
    return found


def run_case(case: str, peers: list[Peer], settings: Settings, cores: Cores) -> list[Round]:
    found = entries(case, peers)
    rounds: list[Round] = []
    with _upstream(case, settings):
        for number in range(settings.rounds):
            taken = {}
            # Turn about, so that a machine that grows slower or faster favours none.
            for entry in found if number % 2 == 0 else reversed(found):
                say(f"{case}: round {number + 1} of {settings.rounds}, {entry.label}")
                taken[entry.label] = measure_entry(entry, settings, cores)
            rounds.append({entry.label: taken[entry.label] for entry in found})
    return rounds


def measure_entry(entry: Entry, settings: Settings, cores: Cores) -> Measurement:
    launch = entry.peer.launch(entry.case, cores.measured)
    with serving(launch) as process:
        _check(entry, settings)
        if entry.case == "streams":
            return _measure_streams(entry.peer, process.pid, settings)
        requests, measurement = _measure_requests(entry, process.pid, settings)
    if entry.case == "filters":
        checks.check_access_log(entry.peer.name, launch.folder / "access.log", requests)
    return measurement


def _check(entry: Entry, settings: Settings) -> None:
    peer = entry.peer
    if entry.case == "plain":
        checks.check_plain(peer.name, peer.port)
    elif entry.case == "filters":
        checks.check_filters(peer.name, peer.port, peer.metrics, peer.metric)
    else:
        checks.check_streams(peer.name, peer.port, settings.interval)


def _measure_requests(entry: Entry, root: int, settings: Settings) -> tuple[int, Measurement]:
    url = f"http://127.0.0.1:{entry.peer.port}{checks.PATH}"
    headers = checks.FILTER_HEADERS if entry.case == "filters" else {}
    warm_up = drive(
        url,
        seconds=settings.warm_up,
        connections=settings.connections,
        least_bytes=checks.BODY_BYTES,
        headers=headers,
    )
    before = cpu_seconds(root)
    load = drive(
        url,
        seconds=settings.seconds,
        connections=settings.connections,
        least_bytes=checks.BODY_BYTES,
        headers=headers,
    )
    cpu = cpu_seconds(root) - before
    memory = tree_memory(root)
    return warm_up.requests + load.requests, {
        "requests": load.requests,
        "per_second": load.requests / load.seconds,
        "p50_ms": load.p50 * 1e3,
        "p99_ms": load.p99 * 1e3,
        "cpu_us": cpu / load.requests * 1e6,
        "busy_percent": cpu / load.seconds * 100,
        "rss_mb": memory.rss / MB,
        "pss_mb": memory.pss / MB,
    }


def _measure_streams(peer: Peer, root: int, settings: Settings) -> Measurement:
    seen = uvloop.run(
        measure(peer.port, root, streams=settings.streams, interval=settings.interval, seconds=settings.seconds)
    )
    through, direct = list(seen.first_byte), list(seen.direct_first_byte)
    p50, p99 = percentile(through, 50), percentile(through, 99)
    return {
        "chunks": seen.events,
        "per_second": seen.events / seen.seconds,
        "cpu_us": seen.cpu / seen.events * 1e6,
        "busy_percent": seen.cpu / seen.seconds * 100,
        "first_byte_p50_ms": p50 * 1e3,
        "first_byte_p99_ms": p99 * 1e3,
        "added_p50_ms": (p50 - percentile(direct, 50)) * 1e3,
        "added_p99_ms": (p99 - percentile(direct, 99)) * 1e3,
        "probes": len(through),
        "rss_mb": seen.rss / MB,
        "pss_mb": seen.pss / MB,
    }


@contextmanager
def _upstream(case: str, settings: Settings) -> Iterator[None]:
    if case == "streams":
        with stream_upstream(settings.interval, settings.payload):
            yield
    else:
        with static_upstream():
            yield


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the gateway against its peers.")
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument(
        "--peers", default=",".join(all_peers()), help="names, with commas; nginx, the reference, always runs"
    )
    parser.add_argument("--rounds", type=_at_least_one, default=3)
    parser.add_argument("--seconds", type=_at_least_one, default=5, help="of measuring, per peer and round")
    parser.add_argument("--warm-up", type=_at_least_one, default=2, help="seconds of load before that")
    parser.add_argument("--connections", type=_at_least_one, default=64, help="of the cases plain and filters")
    parser.add_argument("--streams", type=_at_least_one, default=200)
    parser.add_argument("--interval", type=float, default=0.02, help="seconds between two events of a stream")
    parser.add_argument("--payload", type=_at_least_one, default=64, help="bytes of data in an event")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--enforce", action="store_true", help="end with status 1 if a goal is missed")
    return parser.parse_args(arguments)


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _chosen(names: str) -> list[Peer]:
    known = all_peers()
    wanted = {REFERENCE, *(name.strip() for name in names.split(",") if name.strip())}
    if unknown := wanted - known.keys():
        raise BenchError(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [peer for name, peer in known.items() if name in wanted]


def bench(arguments: argparse.Namespace) -> int:
    peers = _chosen(arguments.peers)
    cores = pin_to_load_core()
    require_debian(("wrk", "wrk"), ("nginx", "nginx"), ("taskset", "util-linux"))
    for peer in peers:
        peer.install()
    settings = Settings(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        warm_up=arguments.warm_up,
        connections=arguments.connections,
        streams=arguments.streams,
        interval=arguments.interval,
        payload=arguments.payload,
    )
    wanted = CASES if arguments.case == "all" else (arguments.case,)
    cases = {case: run_case(case, peers, settings, cores) for case in wanted}
    report.show(cases)
    if arguments.json:
        versions = {peer.name: version_of(peer) for peer in peers}
        settings_told = {name: getattr(settings, name) for name in Settings.__slots__}
        arguments.json.write_text(json.dumps(report.document(cases, settings_told, versions), indent=2) + "\n")
    missed = [outcome for outcome in report.outcomes(cases) if not outcome.is_met]
    return 1 if missed and arguments.enforce else 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: bench(_parse(sys.argv[1:]))))
