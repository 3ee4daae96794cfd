"""Figures with their goals, as lines for a person and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import report
from command import say
from load_process import Seen


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure; without a limit it is there to be read beside the others."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_met(self) -> bool:
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        number = f"{self.value:,d}" if isinstance(self.value, int) else f"{self.value:,.2f}"
        told = f"{self.name}: {number} {self.unit}".rstrip()
        if self.limit is None:
            return told
        return f"{told} ({'met' if self.is_met else 'MISSED'}: at most {self.limit:,g})"


def conclude(findings: list[Finding], destination: Path | None, *, enforce: bool) -> int:
    """Print them, write them where asked, and give the exit status."""
    for finding in findings:
        print(finding)
    if destination:
        found = [{**asdict(finding), "met": finding.is_met} for finding in findings]
        destination.write_text(json.dumps({"machine": report.machine(), "findings": found}, indent=2) + "\n")
    return 1 if enforce and not all(finding.is_met for finding in findings) else 0


def latency_findings(calm: Seen, during: Seen, ratio_limit: float | None = None) -> list[Finding]:
    """What the load saw with reloads beside what it saw without."""
    for kind, count in (calm.failures + during.failures).items():
        say(f"{count} times: {kind}")
    return [
        Finding("requests during reloads", len(during.latencies), ""),
        Finding("failed requests", sum(during.failures.values()) + sum(calm.failures.values()), "", limit=0),
        Finding("connections closed by the gateway", during.reconnects, ""),
        Finding("p99 without reloads", calm.at(0.99) * 1e3, "ms"),
        Finding("p99 with reloads", during.at(0.99) * 1e3, "ms"),
        Finding("p99 with reloads, ratio", during.at(0.99) / calm.at(0.99), "", limit=ratio_limit),
        Finding("worst latency without reloads", calm.at(1) * 1e3, "ms"),
        Finding("worst latency with reloads, no less than the worst stall of the loop", during.at(1) * 1e3, "ms"),
    ]
