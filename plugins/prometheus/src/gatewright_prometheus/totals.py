"""What one worker has counted, in a file that the supervisor reads while it is written.

The values are doubles in a memory-mapped file, so that counting is a few stores, nothing has to be
flushed, and what a worker counted outlives it. A second file says what the values mean, a line for each
group of them as it is first needed: ``KIND INDEX LABELS``, the labels a JSON list.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from gatewright_sdk import Exchange

OTHER = "_other"
#: Methods that have a label of their own: anything else a client can make up.
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
#: Values of a route before its histograms: bytes in, bytes out, requests in flight.
BYTES_IN, BYTES_OUT, IN_FLIGHT, PLAIN = 0, 1, 2, 3
#: Its histograms: of the whole exchange, of the upstream, of the gateway before the upstream.
DURATION, UPSTREAM, OVERHEAD = 0, 1, 2
#: Series of one value for each route: requests by method and status, failures by code.
_COUNTERS_PER_ROUTE = 24

_numbers = itertools.count()


class RouteTotals:
    """Where the values of a route stand.

    Attributes:
        base: the first of its plain values; three histograms of ``width`` values follow.
        counts: value of each method and status.
        open: the exchanges that have begun and not ended.
    """

    __slots__ = ("base", "counts", "errors", "name", "open")

    def __init__(self, name: str, base: int) -> None:
        self.name = name
        self.base = base
        self.counts: dict[tuple[str, int], int] = {}
        self.errors: dict[str, int] = {}
        self.open: set[Exchange] = set()


class Totals:
    """The counts of one worker.

    Args:
        folder: shared with the supervisor.
        worker: the worker's number.
        bounds: of the histograms, ascending seconds.
        max_routes: how many have values of their own.
    """

    def __init__(self, folder: Path, worker: int, bounds: Sequence[float], max_routes: int) -> None:
        self._bounds = tuple(bounds)
        # Its sum, one for each bound, and one for what is beyond the last.
        self._width = len(bounds) + 2
        self._max_routes = max_routes
        self._routes: dict[str, RouteTotals] = {}
        self._used = 1
        per_route = PLAIN + 3 * self._width + _COUNTERS_PER_ROUTE
        self._size = 1 + (max_routes + 1) * per_route
        name = f"{worker}-{os.getpid()}-{next(_numbers)}"
        self._values_path = folder / f"{name}.values"
        self._keys_path = folder / f"{name}.keys"
        self._keys = self._keys_path.open("a", buffering=1)
        self._keys.write(json.dumps({"bounds": self._bounds, "pid": os.getpid()}) + "\n")
        with self._values_path.open("w+b") as file:
            file.truncate(self._size * 8)
            self._mapping = mmap.mmap(file.fileno(), self._size * 8)
        self._values = memoryview(self._mapping).cast("d")

    def close(self) -> None:
        """The counts stay, as those of a worker that has ended."""
        self._values.release()
        self._mapping.close()
        self._keys.close()
        self._values_path.rename(self._values_path.with_suffix(".values-closed"))

    def begin(self, exchange: Exchange) -> None:
        name = exchange.route.name
        totals = self._routes.get(name) or self._add_route(name)
        totals.open.add(exchange)
        self._values[totals.base + IN_FLIGHT] += 1

    def end(self, exchange: Exchange) -> None:
        values = self._values
        name = exchange.route.name
        totals = self._routes.get(name) or self._add_route(name)
        base = totals.base
        if exchange in totals.open:
            totals.open.remove(exchange)
            values[base + IN_FLIGHT] -= 1
        response = exchange.response
        key = (exchange.request.method, response.status if response is not None else 499)
        index = totals.counts.get(key)
        if index is None:
            index = self._add_count(totals, key)
        values[index] += 1
        if exchange.bytes_in:
            values[base] += exchange.bytes_in
        values[base + BYTES_OUT] += exchange.bytes_out
        bounds, width = self._bounds, self._width
        received = exchange.received_at
        duration = exchange.completed_at - received
        at = base + PLAIN
        values[at] += duration
        values[at + 1 + bisect_left(bounds, duration)] += 1
        first_byte = exchange.first_byte_at
        if first_byte:
            sent = exchange.upstream_at
            at += width
            values[at] += first_byte - sent
            values[at + 1 + bisect_left(bounds, first_byte - sent)] += 1
            at += width
            values[at] += sent - received
            values[at + 1 + bisect_left(bounds, sent - received)] += 1
        if exchange.error is not None:
            self._count_error(totals, exchange.error.code)

    def _count_error(self, totals: RouteTotals, code: str) -> None:
        index = totals.errors.get(code)
        if index is None:
            index = totals.errors[code] = self._take("error", 1, [totals.name, code])
        self._values[index] += 1

    def _add_route(self, name: str) -> RouteTotals:
        if len(self._routes) >= self._max_routes and name != OTHER:
            other = self._routes.get(OTHER) or self._make_route(OTHER)
            return other
        return self._make_route(name)

    def _make_route(self, name: str) -> RouteTotals:
        base = self._take("route", PLAIN + 3 * self._width, [name])
        totals = self._routes[name] = RouteTotals(name, base)
        return totals

    def _add_count(self, totals: RouteTotals, key: tuple[str, int]) -> int:
        method, status = key
        if method not in METHODS:
            known = totals.counts.get((OTHER, status))
            return known if known is not None else self._add_count_as(totals, (OTHER, status))
        return self._add_count_as(totals, key)

    def _add_count_as(self, totals: RouteTotals, key: tuple[str, int]) -> int:
        index = totals.counts[key] = self._take("count", 1, [totals.name, key[0], str(key[1])])
        return index

    def _take(self, kind: str, size: int, labels: Sequence[str]) -> int:
        """Values of a new series; index 0, which nobody reads, once the file is full."""
        index = self._used
        if index + size > self._size:
            return 0
        self._used += size
        self._keys.write(f"{kind} {index} {json.dumps(labels)}\n")
        return index
