"""Deadlines without a loop timer each.

Every connection is in at most one slot of a coarse wheel. Moving a deadline back is an attribute
store; the wheel looks at the deadline only when the slot comes round, and files the entry again if
it has moved. Only a deadline before the slot's own time costs a set operation, so a busy connection
whose deadline is pushed back by every request touches the wheel once in a while.

Deadlines counted from ``Wheel.base`` are late by at most two ticks, and early only by as much as the
loop itself has stalled.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol

TICK = 0.05
NEVER = math.inf


class Timed(Protocol):
    """Something with a deadline. ``deadline`` is its owner's, ``due`` the wheel's."""

    deadline: float
    due: float

    def expire(self, now: float) -> None:
        """The deadline has passed."""


class Wheel:
    """The deadlines of one worker.

    Attributes:
        now: monotonic seconds of the last tick.
        base: ``now`` and one tick, to count deadlines from, so that none comes early.
        worst_lag: the longest that a tick has come late, in seconds, since it was last reset.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots: dict[int, set[Timed]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._expected = 0.0
        self.now = clock()
        self.base = self.now + TICK
        self._last = int(self.now / TICK)
        self.worst_lag = 0.0
        #: called at every tick with the time
        self.on_tick: list[Callable[[float], None]] = []

    def arm(self, entry: Timed, deadline: float) -> None:
        """Set a deadline, earlier or later than the one before."""
        entry.deadline = deadline
        if deadline < entry.due:
            self.place(entry)

    def place(self, entry: Timed) -> None:
        """File an entry whose deadline has become earlier than its slot."""
        self.discard(entry)
        if entry.deadline != NEVER:
            slot = max(int(entry.deadline / TICK), self._last)
            entry.due = slot * TICK
            self._slots.setdefault(slot + 1, set()).add(entry)

    def discard(self, entry: Timed) -> None:
        """Forget an entry."""
        if entry.due != NEVER:
            slot = self._slots.get(round(entry.due / TICK) + 1)
            if slot is not None:
                slot.discard(entry)
            entry.due = NEVER

    def advance(self) -> None:
        """Expire what is due."""
        self.now = now = self._clock()
        self.base = now + TICK
        current = int(now / TICK)
        if current - self._last > len(self._slots):
            passed = sorted(slot for slot in self._slots if slot <= current)
        else:
            passed = list(range(self._last + 1, current + 1))
        self._last = current
        for slot in passed:
            for entry in self._slots.pop(slot, ()):
                entry.due = NEVER
                if entry.deadline <= now:
                    entry.deadline = NEVER
                    entry.expire(now)
                elif entry.deadline < entry.due:
                    self.place(entry)
        for call in self.on_tick:
            call(now)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._expected = self._clock() + TICK
        self._handle = loop.call_later(TICK, self._tick, loop)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        lag = self._clock() - self._expected
        if lag > self.worst_lag:
            self.worst_lag = lag
        self.advance()
        self._expected = self._clock() + TICK
        self._handle = loop.call_later(TICK, self._tick, loop)
