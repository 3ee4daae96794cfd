"""The worker process: ``python -P -m gatewright.workers.main NUMBER BUS_FD RUN_DIR``.

Started by the supervisor and by nobody else. It imports neither the command line nor the config
loader: an idle worker is small because of what is not here.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import sys
from pathlib import Path

import uvloop

from gatewright.workers.bus import Bus
from gatewright.workers.worker import Worker

#: The exit status of a worker that had to cut exchanges off at the end of its drain.
CUT_OFF = 3


async def _serve(number: int, descriptor: int, run_dir: Path) -> bool:
    return await Worker(number, Bus(socket.socket(fileno=descriptor)), run_dir).run()


def main(arguments: list[str]) -> None:
    number, descriptor, run_dir = arguments
    # Requests leave no cycles behind, so the collector has little to find and is asked seldom.
    gc.set_threshold(100_000, 50, 1000)
    gc.freeze()
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        complete = runner.run(_serve(int(number), int(descriptor), Path(run_dir)))
    sys.exit(0 if complete else CUT_OFF)


def _raise_descriptor_limit() -> None:
    """Every connection takes a descriptor or two; the soft limit of 1024 is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main(sys.argv[1:])
