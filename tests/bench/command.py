"""How each of these commands begins and ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from settings import BenchError


def run_command(work: Callable[[], int]) -> int:
    """Its exit status; 2 if it could not go on, 130 if it was interrupted."""
    # Both end in what stops everything that was started; a shell's background job would ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return work()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def say(line: str) -> None:
    """Progress, apart from results."""
    print(line, file=sys.stderr, flush=True)
