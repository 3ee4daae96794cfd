"""The filter: decides which exchanges are logged, and hands their lines to the writer."""

from __future__ import annotations

import random

from gatewright_access_log.config import AccessLogConfig
from gatewright_access_log.line import Clock, LineFormat, status_of
from gatewright_access_log.writer import Writer
from gatewright_sdk import Exchange, Filter, Phase, PluginContext

#: Seconds between two looks at the wall clock.
CLOCK_SECONDS = 10.0


class AccessLog(Filter[AccessLogConfig]):
    """Writes one JSON line for each exchange."""

    phase = Phase.EDGE
    on_failure = "open"

    def __init__(self, config: AccessLogConfig) -> None:
        super().__init__(config)
        self._writer: Writer | None = None
        self._format: LineFormat
        when = config.when
        self._logs_all = not when.status and not when.slower_than and when.sample >= 1
        self._statuses = frozenset(status for pattern in when.status for status in _statuses(pattern))

    def start(self, context: PluginContext) -> None:
        to, limit = self.config.to, self.config.queue
        clock = Clock(context.time, context.monotonic)
        context.every(CLOCK_SECONDS, clock.set)
        self._format = LineFormat(self.config, clock)
        self._writer = context.shared(to, lambda: Writer(to, limit), Writer.close)

    def on_complete(self, exchange: Exchange) -> None:
        if self._logs_all or self._wants(exchange):
            assert self._writer is not None
            self._writer.put(self._format.line(exchange))

    def _wants(self, exchange: Exchange) -> bool:
        status, when = status_of(exchange), self.config.when
        if exchange.error is not None or status >= 500:
            return True
        if self._statuses and status not in self._statuses:
            return False
        if when.slower_than and exchange.completed_at - exchange.received_at <= when.slower_than:
            return False
        return when.sample >= 1 or random.random() < when.sample  # noqa: S311 - a sample, not a secret


def _statuses(pattern: str) -> range:
    first = int(pattern.replace("x", "0"))
    return range(first, first + (100 if "x" in pattern else 1))
