"""``gatewright run``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import anyio
import click

from gatewright import events
from gatewright.cli.output import Output
from gatewright.control.instance import default_base
from gatewright.events import Event
from gatewright.gateway import Gateway

DEFAULT_MANIFEST = "gatewright.yaml"


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path), default=DEFAULT_MANIFEST, envvar="GATEWRIGHT_CONFIG")
@click.option("--workers", type=click.IntRange(1, 1024), help="Worker processes, in place of what the manifest says.")
@click.option("--watch/--no-watch", "watches", default=True, help="Take up changed files by themselves (default: yes).")
@click.option("--run-dir", type=click.Path(path_type=Path), help="Where the control socket goes.")
@click.option("--log", type=click.Choice(["text", "json"]), help="Form of the log on stderr (default: text).")
def run(manifest: Path, workers: int | None, watches: bool, run_dir: Path | None, log: str | None) -> None:
    """Serve MANIFEST: a file, or a folder of them (default: gatewright.yaml).

    SIGHUP reloads, SIGUSR2 restarts the workers one by one, SIGTERM or Ctrl-C lets what is under way
    finish and ends; a second one ends at once.
    """
    printer = _print_json if log == "json" else TextLog()
    gateway = Gateway(manifest, run_base=run_dir or default_base(), emit=printer, workers=workers, watches=watches)
    complete = anyio.run(gateway.run, lambda _: None)
    if not complete:
        sys.exit(3)


class TextLog:
    """The supervisor's log for people: one line an event, tracebacks below."""

    def __init__(self) -> None:
        self._output = Output()

    def __call__(self, event: Event) -> None:
        level, text = describe(event)
        style = {"error": "red", "warning": "yellow"}.get(level, "")
        stamp = time.strftime("%H:%M:%S")
        self._output.note(f"{stamp} {level:7} {text}", style)
        trace = getattr(event, "traceback", "")
        if trace:
            self._output.note(trace.rstrip(), "dim")


def _print_json(event: Event) -> None:
    level, text = describe(event)
    record = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "event": type(event).__name__,
        "message": text,
        **{name: getattr(event, name) for name in event.__dataclass_fields__},
    }
    print(json.dumps(record, default=str), file=sys.stderr, flush=True)  # noqa: T201 - this is the log


def describe(event: Event) -> tuple[str, str]:
    """Level and text of an event."""
    teller = _TELLERS.get(type(event))
    return teller(event) if teller is not None else ("info", str(event))


def _exited(event: events.WorkerExited) -> tuple[str, str]:
    how = f"was killed by signal {-event.status}" if event.status < 0 else f"ended with status {event.status}"
    if event.restart_in is None:
        return "info", f"worker {event.worker} (pid {event.pid}) {how}"
    return "error", f"worker {event.worker} (pid {event.pid}) {how}; replaced in {event.restart_in:g} s"


def _hook_failed(event: events.HookFailed) -> tuple[str, str]:
    place = f"route {event.route!r}" if event.route else "no route"
    outcome = "skipped" if event.on_failure == "open" else "answered 500"
    request = f", request {event.request_id}" if event.request_id else ""
    return "error", f"plugin {event.plugin!r}, {place}, {event.hook}: {event.error} ({outcome}{request})"


def _rejected(event: events.SnapshotRejected) -> tuple[str, str]:
    return "error", "config refused, nothing changed:\n" + "\n".join(f"  {problem}" for problem in event.problems)


_TELLERS: dict[type[Event], Callable[..., tuple[str, str]]] = {
    events.WorkerStarted: lambda event: ("info", f"worker {event.worker} serves (pid {event.pid})"),
    events.WorkerExited: _exited,
    events.WorkerFailed: lambda event: ("error", f"worker {event.worker} cannot be replaced: {event.error}"),
    events.EventsLost: lambda event: ("warning", f"worker {event.worker}: {event.count} events were dropped"),
    events.SnapshotApplied: lambda event: (
        "info",
        f"config {event.version} taken up: {event.routes} route{'s' if event.routes != 1 else ''}"
        f" in {event.seconds * 1e3:.0f} ms",
    ),
    events.SnapshotRejected: _rejected,
    events.HookFailed: _hook_failed,
    events.InternalFault: lambda event: (
        "error",
        f"a defect of the gateway, request {event.request_id or '-'}: {event.error}",
    ),
    events.Listening: lambda event: (
        "info",
        f"listening {f'({event.listener}) ' if event.listener else ''}on http://{event.address}",
    ),
    events.Draining: lambda event: ("info", f"draining, for at most {event.deadline:g} s"),
}

COMMANDS = (run,)
