"""One thread for each destination: takes lines from a bounded queue and writes them in large pieces."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from pathlib import Path

from gatewright_sdk import PluginError

#: Seconds between two writes; a line waits at most this long.
INTERVAL = 0.2
#: How often a file is looked for under its name, for those who rotate logs.
REOPEN_SECONDS = 1.0
#: Bytes of one write. A write to a file opened for appending is one step in Linux, so lines of
#: several workers never mix; pieces are cut at line ends.
PIECE = 256 * 1024

_STREAMS = {"stdout": 1, "stderr": 2}


class Writer:
    """Writes lines to a file, or to a standard stream. ``put`` never blocks.

    Raises:
        PluginError: the file cannot be opened.

    Attributes:
        dropped: lines that found the queue full, and were not reported in the log yet.
    """

    def __init__(self, to: str, limit: int) -> None:
        self._to = to
        self._limit = limit
        self._path = None if to in _STREAMS else Path(to)
        self._descriptor = _STREAMS[to] if self._path is None else _open(self._path)
        self._lines: deque[str] = deque()
        self.dropped = 0
        self._checked = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"access-log {to}", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        if len(self._lines) < self._limit:
            self._lines.append(line)
        else:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self._thread.join(5.0)
        if self._path is not None and not self._thread.is_alive():
            os.close(self._descriptor)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Write all that waits now."""
        self._reopen_if_moved()
        while self._lines:
            self._write(self._piece())
        dropped = self.dropped
        if dropped:
            self.dropped -= dropped
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._write(json.dumps({"time": stamp, "dropped": dropped}).encode() + b"\n")

    def _piece(self) -> bytes:
        taken: list[str] = []
        size = 0
        while self._lines and size < PIECE:
            line = self._lines.popleft()
            taken.append(line)
            size += len(line) + 1
        taken.append("")
        return "\n".join(taken).encode("utf-8", "surrogateescape")

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # A full disk or a closed pipe: these lines are lost, and counted; the gateway goes on.
            self.dropped += data.count(b"\n")
            self._stop.wait(INTERVAL)

    def _reopen_if_moved(self) -> None:
        """Open the file anew when another, or none, has its name: that is how logs are rotated."""
        if self._path is None or time.monotonic() - self._checked < REOPEN_SECONDS:
            return
        self._checked = time.monotonic()
        try:
            there, mine = self._path.stat(), os.fstat(self._descriptor)
            if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                return
        except OSError:
            pass
        try:
            new = _open(self._path)
        except PluginError:
            return
        os.close(self._descriptor)
        self._descriptor = new


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        advice = "make its folder first" if isinstance(error, FileNotFoundError) else "check its permissions"
        raise PluginError(f"cannot write the access log {path}: {error.strerror}; {advice}") from error
