"""What happens in the kernel, as typed events. The kernel writes no logs: whoever wants them listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerExited(Event):
    worker: int
    pid: int
    status: int
    restart_in: float | None


@dataclass(frozen=True, slots=True)
class WorkerFailed(Event):
    """A worker's replacement could not start."""

    worker: int
    error: str


@dataclass(frozen=True, slots=True)
class EventsLost(Event):
    """More happened in a worker than its bus could take."""

    worker: int
    count: int


@dataclass(frozen=True, slots=True)
class SnapshotApplied(Event):
    version: int
    routes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SnapshotRejected(Event):
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HookFailed(Event):
    plugin: str
    route: str
    hook: str
    request_id: str
    on_failure: str
    error: str
    traceback: str


@dataclass(frozen=True, slots=True)
class InternalFault(Event):
    """A defect of the kernel itself; the exchange got a 500."""

    request_id: str
    error: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Listening(Event):
    listener: str
    address: str


@dataclass(frozen=True, slots=True)
class Draining(Event):
    worker: int
    deadline: float


@dataclass(slots=True)
class Events:
    """A list of listeners, called in turn; one that raises does not stop the others."""

    listeners: list[Callable[[Event], None]] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)
