"""All workers of a gateway: started, brought to each config together, replaced, drained.

A config is taken up in two steps. Every worker compiles it and starts what is new in it; only when all
have said that they could, all are told to take it up. So a config that fails anywhere changes nothing
anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from gatewright import events
from gatewright.errors import ConfigError, Problem, StartError
from gatewright.events import Event
from gatewright.workers.backoff import Backoff
from gatewright.workers.bus import Message
from gatewright.workers.feed import Feed
from gatewright.workers.process import WorkerLost, WorkerProcess
from gatewright.workers.sockets import Sockets

#: Seconds for a worker to compile a config, or to take one up.
PREPARE_SECONDS = 120.0
ACTIVATE_SECONDS = 30.0
#: Seconds after a worker's drain deadline until it is killed.
GRACE_SECONDS = 5.0


class Fleet:
    """The workers.

    Args:
        run_dir: shared with the workers.
        sockets: the listeners.
        emit: takes the supervisor's events and those of every worker.
    """

    def __init__(self, run_dir: Path, sockets: Sockets, emit: Callable[[Event], None]) -> None:
        self._run_dir = run_dir
        self._sockets = sockets
        self._emit = emit
        self._feed: Feed = Feed()
        self._workers: dict[int, WorkerProcess] = {}
        self._backoff: dict[int, Backoff] = {}
        self._size = 0
        self._drain_timeout = 30.0
        self._changing = asyncio.Lock()
        self._watchers: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    @property
    def version(self) -> int:
        """Of the config that the workers run on."""
        return self._feed.version

    async def start(self, feed: Feed, size: int, drain_timeout: float) -> None:
        """Start every worker.

        Raises:
            ConfigError, StartError: a worker could not start; all are ended again.
        """
        self._feed, self._size, self._drain_timeout = feed, size, drain_timeout
        async with self._changing:
            results = await asyncio.gather(*(self._bring_up(number) for number in range(size)), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            await self.stop(0.0)
            raise failures[0]

    async def prepare(self, feed: Feed, made: dict[str, socket.socket]) -> None:
        """First step of a new config. ``activate`` or ``abandon`` must follow, both under ``changing``.

        Raises:
            ConfigError: a worker refuses it; then no worker has it.
        """
        workers = self._ready()
        results = await asyncio.gather(
            *(worker.prepare(feed, made, PREPARE_SECONDS) for worker in workers), return_exceptions=True
        )
        problems: dict[str, None] = {}
        for result in results:
            if isinstance(result, WorkerLost):
                problems[str(result)] = None
            elif isinstance(result, BaseException):
                raise result
            else:
                problems.update(dict.fromkeys(result))
        if problems:
            await self.abandon()
            raise ConfigError([Problem(problem) for problem in problems])

    async def activate(self, feed: Feed, size: int, drain_timeout: float) -> None:
        """Second step. A worker that fails in it is killed, and its replacement starts with the new config."""
        self._feed, self._drain_timeout = feed, drain_timeout
        workers = self._ready()
        results = await asyncio.gather(
            *(worker.activate(feed, ACTIVATE_SECONDS) for worker in workers), return_exceptions=True
        )
        for worker, result in zip(workers, results, strict=True):
            if isinstance(result, BaseException):
                worker.kill()
        await self._resize(size)

    async def abandon(self) -> None:
        for worker in self._ready():
            await worker.abandon()

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """While a config is changed, no worker is started."""
        async with self._changing:
            yield

    async def restart(self) -> None:
        """Replace the workers one after the other; each ends only when its successor serves.

        Raises:
            ConfigError, StartError: a successor could not start; the worker it was to replace goes on.
        """
        for number in range(self._size):
            async with self._changing:
                old = self._workers.get(number)
                await self._bring_up(number)
            if old is not None:
                await self._end(old, self._drain_timeout)

    async def stop(self, timeout: float) -> bool:
        """Drain every worker, kill those that do not end; whether all ended by themselves."""
        self._is_stopping = True
        results = await asyncio.gather(*(self._end(worker, timeout) for worker in list(self._workers.values())))
        for task in list(self._watchers):
            if not task.done():
                await asyncio.wait([task], timeout=GRACE_SECONDS)
        return all(results)

    def kill(self) -> None:
        self._is_stopping = True
        for worker in self._workers.values():
            worker.kill()

    async def status(self) -> list[dict[str, Any]]:
        """One entry for each worker, those that are starting or draining included."""
        return [await self._status_of(worker) for _, worker in sorted(self._workers.items())]

    async def _status_of(self, worker: WorkerProcess) -> dict[str, Any]:
        entry = {
            "worker": worker.number,
            "pid": worker.pid,
            "state": worker.state,
            "snapshot": worker.feed.version if worker.feed is not None else 0,
            "uptime_seconds": round(time.monotonic() - worker.started, 3),
        }
        try:
            stats = (await worker.request({"type": "status"}, 5.0))["stats"]
        except WorkerLost:
            return entry
        return {**stats, **entry}

    def _ready(self) -> Sequence[WorkerProcess]:
        return [worker for worker in self._workers.values() if worker.state == "ready"]

    async def _bring_up(self, number: int) -> None:
        """Start a worker in a place, with the present config."""
        feed = self._feed
        try:
            worker = await WorkerProcess.spawn(number, self._run_dir)
        except OSError as error:
            raise StartError(f"cannot start worker {number}: {error}") from error
        worker.on_event = self._relay
        try:
            problems = await worker.prepare(feed, self._sockets.all(), PREPARE_SECONDS)
            if problems:
                raise ConfigError([Problem(problem) for problem in problems])
            await worker.activate(feed, ACTIVATE_SECONDS)
        except WorkerLost as error:
            worker.kill()
            status = await worker.ended
            raise StartError(f"worker {number} ended while it started (status {status}): {error}") from error
        except BaseException:
            worker.kill()
            await worker.ended
            raise
        worker.state = "ready"
        self._workers[number] = worker
        self._emit(events.WorkerStarted(number, worker.pid))
        task = asyncio.get_running_loop().create_task(self._watch(worker))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def _watch(self, worker: WorkerProcess) -> None:
        """Wait for a worker's end, and replace it if it was not told to end."""
        status = await worker.ended
        is_current = self._workers.get(worker.number) is worker
        if is_current:
            del self._workers[worker.number]
        expected = self._is_stopping or not is_current or worker.number >= self._size
        if expected:
            self._emit(events.WorkerExited(worker.number, worker.pid, status, None))
            return
        backoff = self._backoff.setdefault(worker.number, Backoff())
        lived = time.monotonic() - worker.started
        while not self._is_stopping and worker.number < self._size and worker.number not in self._workers:
            delay = backoff.after(lived)
            self._emit(events.WorkerExited(worker.number, worker.pid, status, delay))
            await asyncio.sleep(delay)
            lived = 0.0
            try:
                async with self._changing:
                    if not self._is_stopping and worker.number not in self._workers:
                        await self._bring_up(worker.number)
            except (ConfigError, StartError) as error:
                self._emit(events.WorkerFailed(worker.number, str(error)))

    async def _resize(self, size: int) -> None:
        surplus = [self._workers[number] for number in range(size, self._size) if number in self._workers]
        missing = range(self._size, size)
        self._size = size
        for number in missing:
            await self._bring_up(number)
        for worker in surplus:
            self._end_soon(worker)

    def _end_soon(self, worker: WorkerProcess) -> None:
        task = asyncio.get_running_loop().create_task(self._end_quietly(worker))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)

    async def _end_quietly(self, worker: WorkerProcess) -> None:
        await self._end(worker, self._drain_timeout)

    async def _end(self, worker: WorkerProcess, timeout: float) -> bool:
        """Drain one worker; kill it if it stays."""
        await worker.drain(timeout)
        await asyncio.wait([worker.ended], timeout=timeout + GRACE_SECONDS)
        if worker.ended.done():
            return worker.ended.result() == 0
        worker.kill()
        await worker.ended
        return False

    def _relay(self, worker: WorkerProcess, message: Message) -> None:
        kind = getattr(events, message["kind"], None)
        if isinstance(kind, type) and issubclass(kind, Event):
            self._emit(kind(**message["fields"]))
        if message["lost"]:
            self._emit(events.EventsLost(worker.number, message["lost"]))
