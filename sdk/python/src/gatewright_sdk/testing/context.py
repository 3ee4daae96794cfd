"""A ``PluginContext`` that a test drives by hand."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from gatewright_sdk.config import PluginConfig
from gatewright_sdk.testing.clock import FakeClock

R = TypeVar("R")


class FakeContext:
    """Keeps what a plugin registers; ``tick`` runs the periodic calls, ``close`` ends everything."""

    def __init__(
        self,
        plugin: str = "plugin",
        *,
        settings: PluginConfig | None = None,
        run_dir: Path = Path("."),
        clock: FakeClock | None = None,
        worker: int = 0,
    ) -> None:
        self.plugin = plugin
        self.attachment = plugin
        self.settings = settings or PluginConfig()
        self.run_dir = run_dir
        self.worker = worker
        self.clock = clock or FakeClock()
        self.periodic: list[tuple[float, Callable[[], Awaitable[None] | None]]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._shared: dict[object, tuple[Any, Callable[[Any], None]]] = {}

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def time(self) -> float:
        return self.clock.time()

    def every(self, seconds: float, call: Callable[[], Awaitable[None] | None]) -> None:
        self.periodic.append((seconds, call))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def shared(self, key: object, make: Callable[[], R], close: Callable[[R], None]) -> R:
        if key not in self._shared:
            self._shared[key] = (make(), close)
        return cast(R, self._shared[key][0])

    async def tick(self) -> None:
        """Run every periodic call once."""
        for _, call in self.periodic:
            result = call()
            if inspect.isawaitable(result):
                await result

    def close(self) -> None:
        """What the gateway does after the last attachment has stopped."""
        for task in self.tasks:
            task.cancel()
        for value, close in self._shared.values():
            close(value)
        self._shared.clear()
