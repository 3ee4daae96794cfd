"""Medians over rounds, ratios within rounds, and both as a table or as JSON."""

from __future__ import annotations

import platform
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

#: What one peer gave in one round: figures by name.
Measurement = Mapping[str, float]
#: One round of a case: measurements by label, in the order of the table.
Round = Mapping[str, Measurement]

REFERENCE = "nginx"
PLAIN_REFERENCE = "nginx plain"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure in the table; ``has_ratio`` shows it as a ratio to nginx too."""

    figure: str
    title: str
    digits: int
    has_ratio: bool = True


_MEMORY = (Column("rss_mb", "RSS MB", 1), Column("pss_mb", "PSS MB", 1, has_ratio=False))
_BUSY = Column("busy_percent", "core %", 0, has_ratio=False)
_REQUESTS = (
    Column("per_second", "requests /s", 0),
    Column("p50_ms", "p50 ms", 2),
    Column("p99_ms", "p99 ms", 2),
    Column("cpu_us", "CPU µs/ request", 1),
    _BUSY,
    *_MEMORY,
)
_CHUNKS = (
    Column("per_second", "chunks /s", 0, has_ratio=False),
    Column("cpu_us", "CPU µs/ chunk", 1),
    Column("first_byte_p50_ms", "first byte p50 ms", 2),
    Column("first_byte_p99_ms", "p99 ms", 2),
    Column("added_p50_ms", "added p50 ms", 2, has_ratio=False),
    Column("added_p99_ms", "added p99 ms", 2, has_ratio=False),
    _BUSY,
    *_MEMORY,
)
COLUMNS = {"plain": _REQUESTS, "filters": _REQUESTS, "streams": _CHUNKS}
TITLES = {
    "plain": "plain: proxy of 1 KiB of JSON",
    "filters": "filters: request id, CORS, access log, metrics, header transform",
    "streams": "streams: concurrent chunked event streams",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure of the gateway that must not exceed a limit; with ``to``, as a ratio to that peer."""

    case: str
    figure: str
    limit: float
    to: str | None = None

    def __str__(self) -> str:
        return f"{self.case}: {self.figure}{f' as a ratio to {self.to}' if self.to else ''} at most {self.limit:g}"


GOALS = (
    Goal("plain", "cpu_us", 1.7, to="nginx"),
    Goal("plain", "cpu_us", 0.6, to="envoy"),
    Goal("filters", "cpu_us", 2.4, to=PLAIN_REFERENCE),
    Goal("streams", "cpu_us", 1.5, to="nginx"),
    Goal("streams", "added_p99_ms", 5.0),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    goal: Goal
    value: float

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal.limit


def median(rounds: list[Round], label: str, figure: str) -> float:
    return statistics.median(measured[label][figure] for measured in rounds)


def ratios(rounds: list[Round], label: str, figure: str, to: str) -> list[float]:
    """Of each round on its own, so that what slows a whole round down falls out."""
    return [measured[label][figure] / measured[to][figure] for measured in rounds]


def ratio(rounds: list[Round], label: str, figure: str, to: str) -> float:
    return statistics.median(ratios(rounds, label, figure, to))


def outcomes(cases: Mapping[str, list[Round]]) -> list[Outcome]:
    """Of the goals whose case and peers were measured."""
    found = []
    for goal in GOALS:
        rounds = cases.get(goal.case, [])
        labels = rounds[0] if rounds else {}
        if "gatewright" in labels and (goal.to is None or goal.to in labels):
            value = (
                median(rounds, "gatewright", goal.figure)
                if goal.to is None
                else ratio(rounds, "gatewright", goal.figure, goal.to)
            )
            found.append(Outcome(goal, value))
    return found


def show(cases: Mapping[str, list[Round]]) -> None:
    """Tables for a person: drawn on a terminal, bare in a file."""
    if sys.stdout.isatty():
        console = Console()
        for case, rounds in cases.items():
            console.print(_drawn(case, rounds))
    else:
        for case, rounds in cases.items():
            print(f"\n{_title(case, rounds)}")
            print("\n".join(_aligned([_heading(case, rounds), *_rows(case, rounds)])))
    for outcome in outcomes(cases):
        print(f"{'met' if outcome.is_met else 'MISSED'}: {outcome.goal}; it is {outcome.value:.2f}")


def document(
    cases: Mapping[str, list[Round]], settings: Mapping[str, object], versions: Mapping[str, str]
) -> dict[str, object]:
    """What ``--json`` writes: every round's figures, their medians and ratios, and what they were taken on."""
    return {
        "machine": machine(),
        "settings": dict(settings),
        "versions": dict(versions),
        "cases": {case: {"rounds": rounds, "summary": _summary(case, rounds)} for case, rounds in cases.items()},
        "goals": [
            {"goal": str(outcome.goal), "limit": outcome.goal.limit, "value": outcome.value, "met": outcome.is_met}
            for outcome in outcomes(cases)
        ],
    }


def machine() -> dict[str, object]:
    models = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(models),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _summary(case: str, rounds: list[Round]) -> dict[str, object]:
    compared = [column.figure for column in COLUMNS[case] if column.has_ratio]
    return {
        label: {
            "median": {column.figure: median(rounds, label, column.figure) for column in COLUMNS[case]},
            "ratio": {
                to: {figure: ratio(rounds, label, figure, to) for figure in compared} for to in _references(rounds)
            },
        }
        for label in rounds[0]
    }


def _references(rounds: list[Round]) -> list[str]:
    return [label for label in (PLAIN_REFERENCE, REFERENCE) if label in rounds[0]]


def _title(case: str, rounds: list[Round]) -> str:
    return f"{TITLES[case]}; median of {len(rounds)} (ratio to {_references(rounds)[0]})"


def _heading(case: str, rounds: list[Round]) -> list[str]:
    titles = ["", *(column.title for column in COLUMNS[case]), "CPU ratio range"]
    return [*titles, *(f"CPU to {to}" for to in _references(rounds)[1:])]


def _rows(case: str, rounds: list[Round]) -> list[list[str]]:
    to, *others = _references(rounds)
    rows = []
    for label in rounds[0]:
        cells = [_cell(column, rounds, label, to) for column in COLUMNS[case]]
        spread = ratios(rounds, label, "cpu_us", to)
        further = [f"{ratio(rounds, label, 'cpu_us', other):.2f}" for other in others]
        rows.append([label, *cells, f"{min(spread):.2f} to {max(spread):.2f}", *further])
    return rows


def _cell(column: Column, rounds: list[Round], label: str, to: str) -> str:
    text = f"{median(rounds, label, column.figure):.{column.digits}f}"
    return f"{text} ({ratio(rounds, label, column.figure, to):.2f})" if column.has_ratio else text


def _drawn(case: str, rounds: list[Round]) -> Table:
    table = Table(title=_title(case, rounds), box=SIMPLE_HEAD, padding=0, collapse_padding=True)
    for index, title in enumerate(_heading(case, rounds)):
        table.add_column(title, justify="right" if index else "left")
    for row in _rows(case, rounds):
        stacked = [row[0], *(cell.replace(" (", "\n(") for cell in row[1:])]
        table.add_row(*stacked, style="bold" if row[0] == "gatewright" else None)
    return table


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
