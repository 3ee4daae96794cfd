"""Colour and tables for people at a terminal; plain text, or JSON where asked, for pipes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gatewright.errors import Problem


class Output:
    """Where a command prints."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        return self._out.is_terminal

    def json(self, value: Any) -> None:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))

    def line(self, text: str = "", style: str = "") -> None:
        self._out.print(escape(text), style=style or None)

    def note(self, text: str, style: str = "") -> None:
        """To stderr: progress, and what is not the command's result."""
        self._err.print(escape(text), style=style or None)

    def error(self, text: str) -> None:
        for number, line in enumerate(text.splitlines()):
            self._err.print(f"[bold red]error:[/] {escape(line)}" if number == 0 else escape(line))

    def problems(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
            key = f"[bold]{escape(problem.key)}[/]: " if problem.key else ""
            hint = f"; [green]{escape(problem.hint)}[/]" if problem.hint else ""
            where = f"[cyan]{escape(place)}[/]: " if place else ""
            self._err.print(f"{where}{key}[red]{escape(problem.message)}[/]{hint}")
        count = len(problems)
        self._err.print(f"[bold red]error:[/] {count} problem{'s' if count != 1 else ''} in the configuration")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], indent: int = 0) -> None:
        """Columns for people; tab-separated lines in a pipe."""
        if not self._out.is_terminal:
            for row in rows:
                click.echo("\t".join(str(cell) for cell in row))
            return
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(column)
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        self._out.print(table)


def seconds_text(seconds: float) -> str:
    """``3.2 s``, ``4 min 10 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} {int(seconds % size // smaller)} {smaller_unit}"
    raise AssertionError("unreachable: the last size is 60")
