"""Time moves when the test says so."""

from __future__ import annotations

import pytest

from gatewright_sdk.testing import FakeClock


def test_both_clocks_move_together() -> None:
    clock = FakeClock(monotonic=5.0, time=100.0)
    clock.advance(2.5)
    assert (clock.monotonic(), clock.time()) == (7.5, 102.5)
    clock.advance(0)
    assert clock.monotonic() == 7.5


def test_a_clock_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="only goes forward"):
        FakeClock().advance(-0.1)
