"""Where a running gateway keeps its control socket, and how the others find it.

Each manifest has a folder of its own below a base folder that belongs to one user: ``$GATEWRIGHT_RUN_DIR``,
else ``$XDG_RUNTIME_DIR/gatewright``, else ``/tmp/gatewright-UID``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from gatewright.errors import StartError

SOCKET_NAME = "control.sock"
# sizeof(sockaddr_un.sun_path) less the terminator, unix(7)
_SOCKET_PATH_BYTES = 107


def default_base(env: Mapping[str, str] = os.environ) -> Path:
    if env.get("GATEWRIGHT_RUN_DIR"):
        return Path(env["GATEWRIGHT_RUN_DIR"])
    if env.get("XDG_RUNTIME_DIR"):
        return Path(env["XDG_RUNTIME_DIR"]) / "gatewright"
    return Path(f"/tmp/gatewright-{os.getuid()}")  # noqa: S108 - checked by _own_folder


def instance_folder(manifest: Path, base: Path) -> Path:
    """The folder of the gateway that runs a manifest."""
    resolved = manifest.resolve()
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:8]
    return base / f"{resolved.stem or 'gatewright'}-{digest}"


def running(base: Path) -> list[Path]:
    """The folders of all gateways of this user that have a control socket."""
    if not base.is_dir():
        return []
    return sorted(folder for folder in base.iterdir() if (folder / SOCKET_NAME).exists() and _is_locked(folder))


class Instance:
    """The folder of this gateway, held by a lock for as long as it runs.

    Raises:
        StartError: the folder is not ours alone, its path is too long for a socket, or the gateway runs already.
    """

    def __init__(self, manifest: Path, base: Path) -> None:
        self.folder = instance_folder(manifest, base)
        self.socket = self.folder / SOCKET_NAME
        if len(os.fsencode(self.socket)) > _SOCKET_PATH_BYTES:
            raise StartError(f"{self.socket} is too long for a socket; set GATEWRIGHT_RUN_DIR to a shorter path")
        try:
            _own_folder(base)
            _own_folder(self.folder)
        except OSError as error:
            raise StartError(f"cannot use {base} for the control socket: {error.strerror}; set --run-dir") from error
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._lock, 32).decode().strip() or "?"
            os.close(self._lock)
            raise StartError(
                f"a gateway already runs {manifest} (pid {pid}); stop it with 'gatewright stop {manifest}', "
                "or give this one another --run-dir"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        shutil.rmtree(self.folder / "plugins", ignore_errors=True)
        self.socket.unlink(missing_ok=True)

    def release(self) -> None:
        self.socket.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "plugins", ignore_errors=True)
        os.close(self._lock)


def _own_folder(folder: Path) -> None:
    """Make a folder that nobody else can look into, or make sure that it is one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise StartError(f"{folder} is not a folder that belongs to this user alone; remove it or set --run-dir")


def _is_locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
