"""Where the supervisor reads and compiles configs: a thread that stands back for the workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: Of the thread, on Linux: about a tenth of a busy core's time, all of an idle one's.
NICENESS = 10


class Backstage:
    """Runs one call after the other in a thread of low priority.

    A config takes milliseconds of CPU to read and to check. Requests that wait for a worker on the
    same core would wait that long as well; with this they go first. The workers are not started
    from here, so that they do not inherit the priority.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "config", initializer=_stand_back)

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: call(*args, **kwargs))

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def _stand_back() -> None:
    # Where priorities belong to processes and not to threads, everything stays as it is.
    if os.uname().sysname == "Linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
