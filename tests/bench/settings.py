"""Where things are: folders, ports, cores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRATCH = ROOT / ".bench"

#: Every config file under this folder names these; they stay below the range of ephemeral ports.
UPSTREAM_PORT = 18900
GATEWRIGHT_PORT = 18080
GATEWRIGHT_METRICS_PORT = 18180


class BenchError(Exception):
    """The benchmark cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where: what is measured has a core to itself."""

    measured: int
    load: int


def pin_to_load_core() -> Cores:
    """Keep this process, and what it starts, off the core of what is measured.

    Raises:
        BenchError: there is but one core.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise BenchError("two cores are needed: one for what is measured, one for the load and the upstream")
    cores = Cores(measured=allowed[0], load=allowed[1])
    os.sched_setaffinity(0, {cores.load})
    return cores
