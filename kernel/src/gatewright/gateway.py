"""The gateway: the one module that knows the others. Load, configure, start, serve, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from collections.abc import Set as AbstractSet
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import anyio

from gatewright import events
from gatewright.backstage import Backstage
from gatewright.config.loading import Loaded, load
from gatewright.config.models import Manifest
from gatewright.control import channel, watch
from gatewright.control.instance import Instance
from gatewright.errors import ConfigError, StartError
from gatewright.events import Event, Events
from gatewright.host.plugins import PluginHost
from gatewright.snapshot.compiler import Compiler
from gatewright.workers.feed import Feed
from gatewright.workers.fleet import Fleet
from gatewright.workers.sockets import Sockets, discard

Message = dict[str, Any]


class Gateway:
    """One supervisor: reads the manifest, compiles it, keeps the workers on it.

    Args:
        manifest: a file, or a folder of them.
        workers: how many, in place of what the manifest says.
        run_base: where the control socket's folder is made.
        watches: whether changed files are taken up by themselves.
        emit: takes every event.
    """

    def __init__(
        self,
        manifest: Path,
        *,
        run_base: Path,
        emit: Callable[[Event], None],
        workers: int | None = None,
        watches: bool = True,
    ) -> None:
        self._path = manifest
        self._workers = workers
        self._run_base = run_base
        self._watches = watches
        self._emit = emit
        self._started = time.monotonic()
        self._backstage = Backstage()
        self._sockets = Sockets()
        self._feed = Feed()
        self._host: PluginHost | None = None
        self._digest = b""
        self._files: tuple[Path, ...] = ()
        self._rejected: tuple[str, ...] = ()
        self._is_stopping = False
        self._manifest: Manifest
        self._instance: Instance
        self._compiler: Compiler
        self._fleet: Fleet
        self._files_changed: anyio.Event
        self._stop: anyio.Event
        self._applying: anyio.Lock

    async def run(self, on_ready: Callable[[Gateway], None]) -> bool:
        """Serve until told to stop; whether everything under way could be finished.

        Raises:
            ConfigError, StartError: it cannot start.
        """
        self._files_changed, self._stop, self._applying = anyio.Event(), anyio.Event(), anyio.Lock()
        loaded = await self._load()
        self._instance = Instance(self._path, self._run_base)
        try:
            await self._start(loaded)
            complete = await self._serve(on_ready)
        finally:
            self._sockets.close()
            self._backstage.close()
            self._instance.release()
        return complete

    @property
    def addresses(self) -> dict[str, str]:
        """What each listener's ``bind`` has become."""
        return self._sockets.addresses()

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def control_socket(self) -> Path:
        return self._instance.socket

    # -- start ------------------------------------------------------------------------------------

    async def _load(self) -> Loaded:
        return await self._backstage.run(load, self._path)

    async def _compile(self, loaded: Loaded) -> None:
        """Compile as the workers will: what they would refuse is refused here, with its line."""
        await self._backstage.run(
            lambda: asyncio.run(self._compiler.compile(loaded.manifest, loaded.sources.problem)),
        )

    async def _start(self, loaded: Loaded) -> None:
        began = time.monotonic()
        folder = self._instance.folder
        self._compiler = Compiler(run_dir=folder, worker=-1, events=Events([self._emit]))
        self._fleet = Fleet(folder, self._sockets, self._emit)
        manifest = loaded.manifest
        await self._compile(loaded)
        self._compiler.settle()
        self._sockets.keep(self._sockets.bind_missing(manifest.listeners), manifest.listeners)
        host = self._compiler.host
        await host.start_components(folder, self._emit)
        self._host = host
        self._feed = self._feed.next(manifest)
        try:
            await self._fleet.start(self._feed, self._size(manifest), manifest.drain.timeout)
        except BaseException:
            await host.stop_components()
            raise
        self._remember(loaded)
        self._emit(events.SnapshotApplied(self._feed.version, len(manifest.routes), time.monotonic() - began))
        self._tell_listeners(frozenset())

    async def _serve(self, on_ready: Callable[[Gateway], None]) -> bool:
        complete = True
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._obey_signals)
            await tasks.start(
                lambda task_status: channel.serve(self._instance.socket, self._handle, task_status=task_status)
            )
            if self._watches:
                tasks.start_soon(self._watch)
            on_ready(self)
            await self._stop.wait()
            timeout = self._manifest.drain.timeout
            self._emit(events.Draining(-1, timeout))
            self._sockets.close()
            complete = await self._fleet.stop(timeout)
            if self._host is not None:
                await self._host.stop_components()
            tasks.cancel_scope.cancel()
        return complete

    def _size(self, manifest: Manifest) -> int:
        if self._workers is not None:
            return self._workers
        if manifest.workers == "auto":
            return len(os.sched_getaffinity(0))
        return int(manifest.workers)

    # -- reload -----------------------------------------------------------------------------------

    async def reload(self) -> Message:
        """Read the manifest again and bring every worker to it, or change nothing and say why."""
        async with self._applying:
            began = time.monotonic()
            try:
                loaded = await self._load()
                await self._apply(loaded)
            except (ConfigError, StartError) as error:
                problems = (
                    tuple(str(problem) for problem in error.problems)
                    if isinstance(error, ConfigError)
                    else (str(error),)
                )
                self._rejected = problems
                self._emit(events.SnapshotRejected(problems))
                return {"ok": False, "problems": list(problems), "snapshot": self._feed.version}
            seconds = time.monotonic() - began
            routes = len(loaded.manifest.routes)
            self._emit(events.SnapshotApplied(self._feed.version, routes, seconds))
            return {"ok": True, "snapshot": self._feed.version, "routes": routes, "seconds": round(seconds, 4)}

    async def _apply(self, loaded: Loaded) -> None:
        manifest = loaded.manifest
        await self._compile(loaded)
        try:
            made = self._sockets.bind_missing(manifest.listeners)
            feed = self._feed.next(manifest)
            async with self._fleet.changing():
                try:
                    await self._fleet.prepare(feed, made)
                except BaseException:
                    discard(made)
                    raise
                try:
                    await self._start_components()
                except BaseException:
                    await self._fleet.abandon()
                    discard(made)
                    raise
                before = set(self._sockets.all())
                self._sockets.keep(made, manifest.listeners)
                await self._fleet.activate(feed, self._size(manifest), manifest.drain.timeout)
        except BaseException:
            self._compiler.revert()
            raise
        self._compiler.settle()
        self._feed = feed
        self._remember(loaded)
        self._tell_listeners(before)

    def _tell_listeners(self, before: AbstractSet[str]) -> None:
        """Say where it listens, but for what was open before."""
        addresses = self._sockets.addresses()
        for listener in self._manifest.listeners:
            if listener.bind not in before:
                self._emit(events.Listening(listener.name or "", addresses[listener.bind]))

    async def _start_components(self) -> None:
        host = self._compiler.host
        if host is not self._host:
            await host.start_components(self._instance.folder, self._emit, self._host)
            self._host = host

    def _remember(self, loaded: Loaded) -> None:
        self._manifest = loaded.manifest
        self._rejected = ()
        if loaded.files != self._files:
            self._files = loaded.files
            self._files_changed.set()
        self._digest = watch.digest(loaded.files)

    async def _watch(self) -> None:
        while not self._is_stopping:
            self._files_changed = anyio.Event()
            async for _ in watch.changes(self._files, self._files_changed):
                now = await self._backstage.run(watch.digest, self._files)
                if now != self._digest:
                    # Also after a rejection: the same wrong text is reported once.
                    self._digest = now
                    await self.reload()

    # -- commands ---------------------------------------------------------------------------------

    async def _obey_signals(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        commands: dict[int, Callable[[], Coroutine[Any, Any, object]]] = {
            signal.SIGHUP: self.reload,
            signal.SIGUSR2: self.restart,
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
        }
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2) as received:
            task_status.started()
            async with anyio.create_task_group() as tasks:
                async for number in received:
                    if self._is_stopping and number in (signal.SIGTERM, signal.SIGINT):
                        self._fleet.kill()
                    tasks.start_soon(commands[number])

    async def _handle(self, message: Message) -> Message:
        command = message.get("command")
        if command == "reload":
            return await self.reload()
        if command == "restart":
            return await self.restart()
        if command == "status":
            return {"ok": True, **await self.status()}
        if command == "stop":
            await self.stop()
            return {"ok": True, "pid": os.getpid()}
        return {"ok": False, "error": f"unknown command {command!r}; there are reload, restart, status and stop"}

    async def restart(self) -> Message:
        """Replace every worker, one after the other, without dropping anything."""
        async with self._applying:
            try:
                await self._fleet.restart()
            except (ConfigError, StartError) as error:
                return {"ok": False, "problems": str(error).splitlines()}
            return {"ok": True, "snapshot": self._feed.version}

    async def stop(self) -> None:
        """Drain and end."""
        self._is_stopping = True
        self._stop.set()

    async def status(self) -> Message:
        return {
            "version": distribution_version("gatewright"),
            "pid": os.getpid(),
            "manifest": str(self._path),
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "snapshot": self._feed.version,
            "routes": len(self._manifest.routes),
            "listeners": self.addresses,
            "rejected": list(self._rejected),
            "workers": await self._fleet.status(),
        }
