"""``gatewright plugin``: what is installed."""

from __future__ import annotations

import click

from gatewright.cli.output import Output
from gatewright.host.plugins import LoadedPlugin, discover


@click.group()
def plugin() -> None:
    """Plugins on this machine."""


@plugin.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_plugins(as_json: bool) -> None:
    """Every installed plugin: its version, phase and hooks, or why it does not load."""
    entries = []
    for name, found in discover().items():
        if isinstance(found, LoadedPlugin):
            kind = found.plugin.filter
            entries.append(
                {
                    "name": name,
                    "version": found.version,
                    "distribution": found.distribution,
                    "phase": kind.phase.name.lower() if kind is not None else None,
                    "summary": next(iter((kind.__doc__ or "").strip().splitlines()), "") if kind is not None else "",
                    "error": None,
                }
            )
        else:
            entries.append({"name": name, "error": found})
    output = Output()
    if as_json:
        output.json(entries)
        return
    rows = [
        (each["name"], each.get("version", "-"), each.get("phase") or "-", each.get("summary") or each["error"] or "")
        for each in entries
    ]
    output.table(("plugin", "version", "phase", "what it does"), rows)


COMMANDS = (plugin,)
