"""The counts of all workers, those that have ended included, as one."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gatewright_prometheus.totals import IN_FLIGHT, PLAIN

_RETIRED = "retired.json"


class Merged:
    """Sums by what they are of.

    Attributes:
        counts: by route, method, status.
        errors: by route and code.
        plain: by route: bytes in, bytes out, in flight.
        histograms: by route and kind: the sum, and the number of values in each bucket.
        workers: how many are alive.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, ...], float] = {}
        self.errors: dict[tuple[str, ...], float] = {}
        self.plain: dict[str, list[float]] = {}
        self.histograms: dict[tuple[str, int], list[float]] = {}
        self.bounds: list[float] = []
        self.workers = 0

    def add(self, keys: Path, values: Path, *, is_alive: bool) -> None:
        """Add what one worker has counted."""
        lines = keys.read_text().splitlines()
        if not lines:
            return
        bounds = json.loads(lines[0])["bounds"]
        data = values.read_bytes()
        numbers = struct.unpack(f"{len(data) // 8}d", data[: len(data) // 8 * 8])
        if bounds != self.bounds:
            # Other buckets cannot be added up: the newest config's stay.
            self.bounds = bounds
            self.histograms.clear()
        width = len(bounds) + 2
        for line in lines[1:]:
            kind, at, labels = line.split(" ", 2)
            index, names = int(at), json.loads(labels)
            if kind == "route":
                plain = numbers[index : index + PLAIN]
                _add(self.plain.setdefault(names[0], [0.0] * PLAIN), plain)
                if not is_alive:
                    self.plain[names[0]][IN_FLIGHT] -= plain[IN_FLIGHT]
                for which in range(3):
                    start = index + PLAIN + which * width
                    _add(self.histograms.setdefault((names[0], which), [0.0] * width), numbers[start : start + width])
            else:
                target = self.counts if kind == "count" else self.errors
                target[tuple(names)] = target.get(tuple(names), 0.0) + numbers[index]

    def dump(self) -> dict[str, Any]:
        return {
            "bounds": self.bounds,
            "counts": [[list(key), value] for key, value in self.counts.items()],
            "errors": [[list(key), value] for key, value in self.errors.items()],
            "plain": self.plain,
            "histograms": [[list(key), value] for key, value in self.histograms.items()],
        }

    @classmethod
    def restore(cls, dumped: dict[str, Any]) -> Merged:
        merged = cls()
        merged.bounds = dumped["bounds"]
        merged.counts = {tuple(key): value for key, value in dumped["counts"]}
        merged.errors = {tuple(key): value for key, value in dumped["errors"]}
        merged.plain = dumped["plain"]
        merged.histograms = {(key[0], key[1]): value for key, value in dumped["histograms"]}
        return merged


def read(folder: Path) -> Merged:
    """Everything counted so far. What ended workers have left is summed into one file and removed."""
    retired = _restore(folder)
    ended = [(keys, values) for keys, values, is_alive in _files(folder) if not is_alive]
    if ended:
        for keys, values in ended:
            retired.add(keys, values, is_alive=False)
        written = folder / f"{_RETIRED}.new"
        written.write_text(json.dumps(retired.dump()))
        written.replace(folder / _RETIRED)
        for keys, values in ended:
            values.unlink()
            keys.unlink()
    for keys, values, is_alive in _files(folder):
        if is_alive:
            retired.add(keys, values, is_alive=True)
            retired.workers += 1
    return retired


def _restore(folder: Path) -> Merged:
    try:
        return Merged.restore(json.loads((folder / _RETIRED).read_text()))
    except FileNotFoundError:
        return Merged()


def _files(folder: Path) -> Iterator[tuple[Path, Path, bool]]:
    for keys in sorted(folder.glob("*.keys")):
        values, closed = keys.with_suffix(".values"), keys.with_suffix(".values-closed")
        if closed.exists():
            yield keys, closed, False
        elif values.exists():
            yield keys, values, _is_running(int(keys.stem.split("-")[1]))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _add(target: list[float], numbers: tuple[float, ...]) -> None:
    for index, number in enumerate(numbers):
        target[index] += number
