"""What the gateway offers a plugin outside of exchanges."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gatewright_sdk.config import PluginConfig

R = TypeVar("R")


class PluginContext(Protocol):
    """Handed to ``Filter.start`` and ``Component.start``.

    Attributes:
        plugin: the plugin's name.
        attachment: which attachment this is, e.g. ``route:vod/cors``; the plugin's name for a component.
        settings: the plugin-wide settings of the manifest.
        run_dir: a directory of this plugin's own, shared by supervisor and workers, empty at start.
        worker: the number of this worker, from 0; -1 in the supervisor.
    """

    @property
    def plugin(self) -> str: ...
    @property
    def attachment(self) -> str: ...
    @property
    def settings(self) -> PluginConfig: ...
    @property
    def run_dir(self) -> Path: ...
    @property
    def worker(self) -> int: ...

    def monotonic(self) -> float:
        """Seconds of the clock that stamps exchanges."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def every(self, seconds: float, call: Callable[[], Awaitable[None] | None]) -> None:
        """Call back again and again until the attachment stops."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until it ends or the attachment stops."""
        ...

    def shared(self, key: object, make: Callable[[], R], close: Callable[[R], None]) -> R:
        """One object for all attachments of this plugin in this process that ask with ``key``.

        Made by ``make`` for the first, closed by ``close`` when the last of them has stopped, so that
        a hundred routes can write one file through one writer.
        """
        ...


class Component(Protocol):
    """A part of a plugin that runs in the supervisor, beside the control plane.

    Raises (from ``start``):
        PluginError: it cannot start, e.g. its port is in use. The gateway then does not start, or
            keeps what it ran before.
    """

    def __init__(self, settings: Any) -> None: ...

    async def start(self, context: PluginContext) -> None: ...

    async def stop(self) -> None: ...
