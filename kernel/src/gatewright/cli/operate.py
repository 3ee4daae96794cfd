"""Commands to a running gateway: reload, restart, status, stop."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from gatewright.cli.output import Output, seconds_text
from gatewright.control import channel
from gatewright.control.instance import SOCKET_NAME, default_base, instance_folder, running
from gatewright.errors import StartError

_manifest = click.argument("manifest", type=click.Path(path_type=Path), required=False, envvar="GATEWRIGHT_CONFIG")
_run_dir = click.option("--run-dir", type=click.Path(path_type=Path), help="As given to 'gatewright run'.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def find_socket(manifest: Path | None, run_dir: Path | None) -> Path:
    """The control socket of the gateway that runs ``manifest``, or of the only one that runs.

    Raises:
        StartError: there is none, or there are several.
    """
    base = run_dir or default_base()
    found = running(base)
    if manifest is not None:
        folder = instance_folder(manifest, base)
        if folder not in found:
            raise StartError(f"no gateway runs {manifest}; start it with 'gatewright run {manifest}'")
        return folder / SOCKET_NAME
    if not found:
        raise StartError(f"no gateway is running (looked in {base}); start one with 'gatewright run'")
    if len(found) > 1:
        names = ", ".join(str(channel.send(each / SOCKET_NAME, {"command": "status"})["manifest"]) for each in found)
        raise StartError(f"{len(found)} gateways are running; name the manifest of one: {names}")
    return found[0] / SOCKET_NAME


def _finish(answer: dict[str, Any], done: str, as_json: bool) -> None:
    output = Output()
    if as_json:
        output.json(answer)
    elif answer["ok"]:
        output.line(done.format(**answer), "green")
    else:
        problems = answer.get("problems") or [answer.get("error", "refused")]
        output.error("the gateway refused, nothing changed:\n" + "\n".join(problems))
    if not answer["ok"]:
        sys.exit(1)


@click.command()
@_manifest
@_run_dir
@_json
def reload(manifest: Path | None, run_dir: Path | None, as_json: bool) -> None:
    """Read the manifest again; returns when every worker has taken it up.

    A config that is wrong changes nothing; the command prints why and exits with 1.
    """
    answer = channel.send(find_socket(manifest, run_dir), {"command": "reload"})
    _finish(answer, "config {snapshot} taken up: {routes} routes in {seconds} s", as_json)


@click.command()
@_manifest
@_run_dir
@_json
def restart(manifest: Path | None, run_dir: Path | None, as_json: bool) -> None:
    """Replace every worker, one after the other; no request is dropped."""
    answer = channel.send(find_socket(manifest, run_dir), {"command": "restart"}, timeout=3600.0)
    _finish(answer, "all workers replaced; config {snapshot}", as_json)


@click.command()
@_manifest
@_run_dir
@click.option("--wait/--no-wait", default=True, help="Return only when it has ended (default: yes).")
def stop(manifest: Path | None, run_dir: Path | None, wait: bool) -> None:
    """Let what is under way finish, and end the gateway."""
    socket = find_socket(manifest, run_dir)
    answer = channel.send(socket, {"command": "stop"})
    while wait and socket.exists() and socket.parent in running(socket.parent.parent):
        time.sleep(0.05)
    Output().line(f"the gateway (pid {answer['pid']}) has {'ended' if wait else 'been told to end'}")


@click.command()
@_manifest
@_run_dir
@_json
def status(manifest: Path | None, run_dir: Path | None, as_json: bool) -> None:
    """Workers, config, connections and requests of a running gateway."""
    answer = channel.send(find_socket(manifest, run_dir), {"command": "status"})
    output = Output()
    if as_json:
        output.json(answer)
        return
    uptime = seconds_text(answer["uptime_seconds"])
    output.line(f"gatewright {answer['version']}, pid {answer['pid']}, up {uptime}", "bold")
    output.line(f"manifest   {answer['manifest']}")
    output.line(f"config     {answer['snapshot']}, {answer['routes']} routes")
    output.line(f"listeners  {', '.join(answer['listeners'].values())}")
    for problem in answer["rejected"]:
        output.line(f"the last reload was refused: {problem}", "red")
    output.line()
    columns = ("worker", "pid", "state", "config", "up", "connections", "active", "requests", "refused")
    rows = [
        (
            each["worker"],
            each["pid"],
            each["state"],
            each["snapshot"],
            seconds_text(each["uptime_seconds"]),
            each.get("connections", "-"),
            each.get("active", "-"),
            each.get("requests_total", "-"),
            each.get("refused_total", "-"),
        )
        for each in answer["workers"]
    ]
    if not output.is_terminal:
        output.line("\t".join(columns))
    output.table(columns, rows)


COMMANDS = (reload, restart, status, stop)
