"""Filters start before the first exchange of their snapshot and stop after the last."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Sequence
from pathlib import Path

from gatewright.events import Events, HookFailed
from gatewright.host.context import HostContext, Shared
from gatewright.pipeline.chain import Attached
from gatewright.snapshot.model import Snapshot
from gatewright_sdk import PluginError


class Lifecycle:
    """The running filters of one worker."""

    def __init__(self, run_dir: Path, worker: int, events: Events) -> None:
        self._run_dir = run_dir
        self._worker = worker
        self._events = events
        self._shared = Shared()
        self._contexts: dict[Attached, HostContext] = {}

    async def start(self, snapshot: Snapshot) -> None:
        """Start every filter that does not run yet.

        Raises:
            PluginError: one cannot start; those that this call started are stopped again.
        """
        started: list[Attached] = []
        for attached in snapshot.filters.values():
            if attached in self._contexts:
                continue
            try:
                await self._start(attached)
            except Exception as error:
                for each in started:
                    await self._stop(each)
                last = traceback.extract_tb(error.__traceback__)[-1]
                raise PluginError(
                    f"plugin {attached.plugin!r} ({attached.origin}) cannot start: {error} "
                    f"({last.filename}:{last.lineno})"
                ) from error
            started.append(attached)

    async def stop(self, ended: Snapshot, alive: Sequence[Snapshot]) -> None:
        """Stop the filters, and close the pools, that no living snapshot uses."""
        used = {attached for snapshot in alive for attached in snapshot.filters.values()}
        for attached in ended.filters.values():
            if attached not in used and attached in self._contexts:
                await self._stop(attached)
        pools = {
            endpoint.pool
            for snapshot in alive
            for service in snapshot.services.values()
            for endpoint in service.endpoints
        }
        for service in ended.services.values():
            for endpoint in service.endpoints:
                if endpoint.pool not in pools:
                    endpoint.pool.close()

    async def _start(self, attached: Attached) -> None:
        context = HostContext(
            plugin=attached.plugin,
            attachment=f"{attached.origin}/{attached.key}",
            settings=attached.settings,
            run_dir=self._run_dir,
            worker=self._worker,
            shared=self._shared,
            emit=self._events.emit,
        )
        try:
            result = attached.filter.start(context)
            if inspect.isawaitable(result):
                await result
        except BaseException:
            await context.close()
            raise
        self._contexts[attached] = context

    async def _stop(self, attached: Attached) -> None:
        context = self._contexts.pop(attached)
        try:
            result = attached.filter.stop()
            if inspect.isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - reported; stopping goes on
            text = "".join(traceback.format_exception(error))
            failed = HookFailed(
                attached.plugin, attached.origin, "stop", "", "open", f"{type(error).__name__}: {error}", text
            )
            self._events.emit(failed)
        await context.close()
