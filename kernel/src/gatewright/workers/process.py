"""One worker process as the supervisor sees it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from gatewright.workers.bus import Bus, BusClosed, Message
from gatewright.workers.feed import Feed
from gatewright_sdk import GatewrightError

State = Literal["starting", "ready", "draining", "ended"]


class WorkerLost(GatewrightError):
    """The worker ended, or did not answer in time."""


class WorkerProcess:
    """A worker, its process and its bus.

    Attributes:
        number: its place among the workers; a replacement takes over the number.
        feed: the config that it runs on, None before the first.
    """

    def __init__(self, number: int, process: asyncio.subprocess.Process, bus: Bus) -> None:
        self.number = number
        self.pid = process.pid
        self.state: State = "starting"
        self.started = time.monotonic()
        self.feed: Feed | None = None
        self._process = process
        self._bus = bus
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self.on_event: Callable[[WorkerProcess, Message], None] = lambda worker, message: None
        loop = asyncio.get_running_loop()
        self._reading = loop.create_task(self._read())
        #: done when the process has ended: its exit status, negative for a signal
        self.ended: asyncio.Task[int] = loop.create_task(self._wait())

    @classmethod
    async def spawn(cls, number: int, run_dir: Path) -> WorkerProcess:
        """Start a process; it has no config yet."""
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "gatewright.workers.main",
                str(number),
                str(theirs.fileno()),
                str(run_dir),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(number, process, Bus(ours))

    async def prepare(self, feed: Feed, sockets: dict[str, socket.socket], timeout: float) -> list[str]:
        """Bring the worker to a config, up to the point where it would take it up.

        Args:
            sockets: the listeners that this worker does not have yet.

        Returns:
            What it finds wrong with the config; nothing else has changed then.

        Raises:
            WorkerLost: it ended, or did not answer within ``timeout`` seconds.
        """
        with _lost_when_closed(self):
            for encoded in feed.frames(self.feed):
                await self._bus.send_encoded(encoded)
        message = {"type": "prepare", "version": feed.version, "binds": list(sockets)}
        answer = await self.request(message, timeout, [sock.fileno() for sock in sockets.values()])
        problems: list[str] = answer.get("problems", [])
        return problems

    async def activate(self, feed: Feed, timeout: float) -> None:
        """Take up what was prepared.

        Raises:
            WorkerLost: as above.
        """
        await self.request({"type": "activate"}, timeout)
        self.feed = feed

    async def abandon(self) -> None:
        with contextlib.suppress(BusClosed):
            await self._bus.send({"type": "abandon"})

    async def request(self, message: Message, timeout: float, fds: Sequence[int] = ()) -> Message:
        number = next(self._ids)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            with _lost_when_closed(self):
                await self._bus.send({**message, "id": number}, fds)
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError as error:
            raise WorkerLost(f"worker {self.number} (pid {self.pid}) did not answer within {timeout:g} s") from error
        finally:
            del self._answers[number]

    async def drain(self, timeout: float) -> None:
        """Tell it to finish and end."""
        self.state = "draining"
        with contextlib.suppress(BusClosed):
            await self._bus.send({"type": "drain", "timeout": timeout})

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def _wait(self) -> int:
        status = await self._process.wait()
        self.state = "ended"
        self._reading.cancel()
        self._bus.close()
        self._fail_answers()
        return status

    async def _read(self) -> None:
        try:
            while True:
                message, _ = await self._bus.receive()
                if message["type"] == "answer":
                    answer = self._answers.get(message["re"])
                    if answer is not None and not answer.done():
                        answer.set_result(message)
                elif message["type"] == "event":
                    self.on_event(self, message)
        except BusClosed:
            self._fail_answers()

    def _fail_answers(self) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(WorkerLost(f"worker {self.number} (pid {self.pid}) has ended"))


@contextlib.contextmanager
def _lost_when_closed(worker: WorkerProcess) -> Iterator[None]:
    try:
        yield
    except BusClosed as error:
        raise WorkerLost(f"worker {worker.number} (pid {worker.pid}) has ended") from error
