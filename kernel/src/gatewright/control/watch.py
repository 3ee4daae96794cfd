"""Changes of the files that a config was read from."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import anyio
from watchfiles import Change, awatch

#: Milliseconds for which changes are gathered: an editor writes, renames and sets modes.
DEBOUNCE_MS = 100


def digest(files: Iterable[Path]) -> bytes:
    """Of the names and contents of files; one that cannot be read counts as absent."""
    total = hashlib.sha256()
    for path in _expand(files):
        total.update(str(path).encode() + b"\0")
        try:
            total.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError:
            total.update(b"absent")
    return total.digest()


async def changes(files: Iterable[Path], stop: anyio.Event) -> AsyncIterator[None]:
    """One item whenever the contents of the files may have changed, until ``stop`` is set.

    Folders are watched and not files, because editors, and Kubernetes with its mounted volumes, put
    another file in the place of the old one.
    """
    wanted = list(files)
    names = {path.absolute() for path in wanted}
    folders = {path if path.is_dir() else path.parent for path in names}

    def concerns(_: Change, changed: str) -> bool:
        path = Path(changed)
        return path in names or path.name.startswith("..") or path.parent in names

    async for _ in awatch(
        *folders, watch_filter=concerns, debounce=DEBOUNCE_MS, stop_event=stop, recursive=False, step=50
    ):
        yield


def _expand(files: Iterable[Path]) -> Iterable[Path]:
    for path in files:
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml"))
        else:
            yield path
