"""The real ``PluginContext``: periodic calls, tasks and shared objects on the loop of this process."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from gatewright.events import Event, HookFailed
from gatewright_sdk import PluginConfig

R = TypeVar("R")


class Shared:
    """Objects that the attachments of one process share, counted."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, object], list[Any]] = {}

    def take(self, key: tuple[str, object], make: Callable[[], R]) -> R:
        entry = self._objects.get(key)
        if entry is None:
            entry = self._objects[key] = [make(), 0]
        entry[1] += 1
        return cast(R, entry[0])

    def give_back(self, key: tuple[str, object], close: Callable[[Any], None]) -> None:
        entry = self._objects[key]
        entry[1] -= 1
        if entry[1] == 0:
            del self._objects[key]
            close(entry[0])


class HostContext:
    """What one attachment, or one component, has of the gateway until it stops."""

    def __init__(
        self,
        *,
        plugin: str,
        attachment: str,
        settings: PluginConfig,
        run_dir: Path,
        worker: int,
        shared: Shared,
        emit: Callable[[Event], None],
    ) -> None:
        self.plugin = plugin
        self.attachment = attachment
        self.settings = settings
        self.worker = worker
        self._run_dir = run_dir
        self._shared = shared
        self._emit = emit
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken: list[tuple[tuple[str, object], Callable[[Any], None]]] = []

    @property
    def run_dir(self) -> Path:
        folder = self._run_dir / "plugins" / self.plugin
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def every(self, seconds: float, call: Callable[[], Awaitable[None] | None]) -> None:
        self.spawn(self._repeat(seconds, call))

    async def _repeat(self, seconds: float, call: Callable[[], Awaitable[None] | None]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                result = call()
                if inspect.isawaitable(result):
                    await result
            except Exception as error:  # noqa: BLE001 - a plugin's failure is its own
                self._report("every", error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - as above
            self._report("spawn", error)

    def shared(self, key: object, make: Callable[[], R], close: Callable[[R], None]) -> R:
        full = (self.plugin, key)
        value = self._shared.take(full, make)
        self._taken.append((full, close))
        return value

    async def close(self) -> None:
        """The attachment has stopped: end what it started."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key, close in self._taken:
            try:
                self._shared.give_back(key, close)
            except Exception as error:  # noqa: BLE001 - as above
                self._report("shared", error)
        self._taken.clear()

    def _report(self, what: str, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        self._emit(HookFailed(self.plugin, self.attachment, what, "", "open", f"{type(error).__name__}: {error}", text))
