"""Starting a server, waiting until it listens, and stopping all of it whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from settings import HERE, SCRATCH, UPSTREAM_PORT, BenchError

START_SECONDS = 30.0
STOP_SECONDS = 15.0
ANY_CORE = -1


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server. It runs in an empty folder of its own, where relative paths of its config lead.

    Attributes:
        core: where it runs; None for this process's own, ``ANY_CORE`` for all that the machine has.
    """

    name: str
    argv: Sequence[str]
    port: int
    core: int | None
    stdout: str = "output.log"
    environment: Mapping[str, str] = field(default_factory=dict)
    keep_folder: bool = False

    @property
    def cpu_list(self) -> str:
        return f"0-{(os.cpu_count() or 1) - 1}" if self.core == ANY_CORE else str(self.core)

    @property
    def folder(self) -> Path:
        return SCRATCH / "run" / self.name


@contextmanager
def serving(launch: Launch) -> Iterator[subprocess.Popen[bytes]]:
    """A server that takes connections, and is gone, with all its children, at the end.

    Raises:
        BenchError: its port is in use, it does not start, or it ended before it was told to.
    """
    _require_free(launch.port, launch.name)
    if not launch.keep_folder:
        shutil.rmtree(launch.folder, ignore_errors=True)
    launch.folder.mkdir(parents=True, exist_ok=True)
    pinned = [] if launch.core is None else ["taskset", "--cpu-list", launch.cpu_list]
    with open(launch.folder / launch.stdout, "ab") as stdout, open(launch.folder / "errors.log", "ab") as stderr:
        process = subprocess.Popen(
            [*pinned, *launch.argv],
            cwd=launch.folder,
            env={**os.environ, **launch.environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        _wait_until_listening(process, launch)
        yield process
        if process.poll() is not None:
            raise BenchError(f"{launch.name} ended with status {process.returncode} while in use\n{_log_tail(launch)}")
    finally:
        _stop(process)


@contextmanager
def static_upstream() -> Iterator[None]:
    """The nginx that answers 1 KiB of JSON, on this process's core."""
    argv = nginx_command(HERE / "upstream" / "nginx.conf")
    with serving(Launch("upstream", argv, UPSTREAM_PORT, core=None)):
        yield


@contextmanager
def stream_upstream(interval: float, payload: int) -> Iterator[None]:
    """The server of endless event streams, on this process's core."""
    argv = [sys.executable, str(HERE / "upstream" / "streams.py"), f"--interval={interval}", f"--payload={payload}"]
    with serving(Launch("stream-upstream", argv, UPSTREAM_PORT, core=None)):
        yield


def nginx_command(config: Path) -> list[str]:
    return [program("nginx"), "-p", ".", "-e", "error.log", "-c", str(config)]


def program(name: str) -> str:
    """Its path; Debian keeps servers in sbin, which an ordinary user's PATH leaves out.

    Raises:
        BenchError: it is not installed.
    """
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise BenchError(f"{name} is not installed")
    return found


def _require_free(port: int, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BenchError(
                f"port {port}, which {name} needs, is in use ({error.strerror}); stop what uses it"
            ) from error


def _wait_until_listening(process: subprocess.Popen[bytes], launch: Launch) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchError(f"{launch.name} ended at start with status {process.returncode}\n{_log_tail(launch)}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", launch.port)) == 0:
                return
        time.sleep(0.02)
    raise BenchError(
        f"{launch.name} does not listen on port {launch.port} after {START_SECONDS:.0f} s\n{_log_tail(launch)}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:
        # The group is the session that was started for it, so this reaches orphans and nothing else.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _log_tail(launch: Launch) -> str:
    lines = []
    for name in ("errors.log", "error.log", launch.stdout):
        path = launch.folder / name
        if path.exists():
            lines += path.read_text(errors="replace").splitlines()[-10:]
    return "\n".join(f"    {line}" for line in lines)
