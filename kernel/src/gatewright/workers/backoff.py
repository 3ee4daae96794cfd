"""How long to wait before a crashed worker is replaced."""

from __future__ import annotations

#: Seconds before the first replacement, and the most.
FIRST = 0.1
LONGEST = 10.0
#: A worker that lived this long had not crashed because of how it starts.
HEALTHY_AFTER = 10.0


class Backoff:
    """The crashes of one worker's place, one after the other."""

    def __init__(self) -> None:
        self._failures = 0

    def after(self, lived: float) -> float:
        """Seconds to wait, given how long the last worker lived."""
        if lived >= HEALTHY_AFTER:
            self._failures = 0
        self._failures += 1
        return 0.0 if self._failures == 1 else min(FIRST * 2.0 ** (self._failures - 2), LONGEST)
