"""A context that does what a test tells it to."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gatewright_sdk import PluginConfig, PluginContext
from gatewright_sdk.testing import FakeClock, FakeContext


def test_it_is_a_plugin_context(tmp_path: Path) -> None:
    clock = FakeClock()
    context: PluginContext = FakeContext("cors", run_dir=tmp_path, clock=clock, worker=3)
    assert (context.plugin, context.attachment, context.run_dir, context.worker) == ("cors", "cors", tmp_path, 3)
    assert isinstance(context.settings, PluginConfig)
    clock.advance(1)
    assert (context.monotonic(), context.time()) == (clock.monotonic(), clock.time())


def test_periodic_calls_run_when_told() -> None:
    called: list[str] = []

    async def later() -> None:
        called.append("coroutine")

    context = FakeContext()
    context.every(5.0, lambda: called.append("plain"))
    context.every(7.0, later)
    asyncio.run(context.tick())
    assert called == ["plain", "coroutine"]
    assert [seconds for seconds, _ in context.periodic] == [5.0, 7.0]


def test_a_shared_object_is_made_once_and_closed_at_the_end() -> None:
    context, closed = FakeContext(), []
    first = context.shared("file", lambda: ["made"], closed.append)
    assert context.shared("file", lambda: ["again"], closed.append) is first
    assert context.shared("other", lambda: ["other"], closed.append) is not first
    context.close()
    assert closed == [["made"], ["other"]]
    context.close()
    assert len(closed) == 2


def test_tasks_end_with_the_context() -> None:
    async def run() -> list[bool]:
        context = FakeContext()
        done = asyncio.Event()

        async def quick() -> None:
            done.set()

        async def endless() -> None:
            await asyncio.Event().wait()

        context.spawn(quick())
        context.spawn(endless())
        await done.wait()
        context.close()
        await asyncio.wait(context.tasks)
        return [task.cancelled() for task in context.tasks]

    assert asyncio.run(run()) == [False, True]
