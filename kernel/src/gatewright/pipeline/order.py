"""Which filter runs before which: by phase, then ``after``/``before``, then by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gatewright_sdk import Phase


@dataclass(frozen=True, slots=True)
class Placed:
    """An attachment as far as its place in the order is concerned.

    Attributes:
        key: its name among the attachments of the route.
        plugin: the plugin's name; ``after`` and ``before`` may name a plugin or a key.
    """

    key: str
    plugin: str
    phase: Phase
    after: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()


class OrderError(ValueError):
    """``after`` and ``before`` contradict each other."""


def arrange(placed: Iterable[Placed]) -> list[Placed]:
    """All attachments of a route in the order of their request hooks.

    Constraints between attachments of different phases are ignored unless the phases agree with
    them: a constraint never moves a filter out of its phase.

    Raises:
        OrderError: the constraints within a phase form a circle; names its members.
    """
    by_phase: dict[Phase, list[Placed]] = {}
    for item in placed:
        by_phase.setdefault(item.phase, []).append(item)
    return [item for phase in sorted(by_phase) for item in _arrange_phase(by_phase[phase])]


def _arrange_phase(items: Sequence[Placed]) -> list[Placed]:
    waiting = sorted(items, key=lambda item: (item.plugin, item.key))
    if not any(item.after or item.before for item in waiting):
        return waiting
    arranged: list[Placed] = []
    while waiting:
        free = next((item for item in waiting if not any(_precedes(other, item) for other in waiting)), None)
        if free is None:
            names = ", ".join(item.key for item in waiting)
            raise OrderError(f"after/before contradict each other in phase {items[0].phase.name.lower()}: {names}")
        arranged.append(free)
        waiting.remove(free)
    return arranged


def _precedes(first: Placed, second: Placed) -> bool:
    if first is second:
        return False
    return not second.after.isdisjoint((first.key, first.plugin)) or not first.before.isdisjoint(
        (second.key, second.plugin)
    )
