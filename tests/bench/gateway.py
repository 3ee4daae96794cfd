"""The gateway under a manifest made for a measurement."""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from peers import gatewright_command, require_gatewright
from process_tree import owner_of_connection
from servers import Launch, serving
from settings import GATEWRIGHT_PORT, HERE, SCRATCH, UPSTREAM_PORT, BenchError

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gateway:
    """One that runs, with one worker."""

    process: subprocess.Popen[bytes]
    folder: Path
    manifest: Path
    worker: int

    def write(self, text: str) -> None:
        """Replace the manifest's file in one step."""
        _replace(self.manifest, text)


@contextmanager
def gateway(manifest: Manifest, core: int | None) -> Iterator[Gateway]:
    """Runs until the end of the block.

    Raises:
        BenchError: it does not start or does not answer.
    """
    require_gatewright()
    path = SCRATCH / "manifests" / "gateway.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, as_yaml(manifest))
    launch = Launch("gatewright", gatewright_command(path), GATEWRIGHT_PORT, core)
    with serving(launch) as process:
        yield Gateway(process, launch.folder, path, worker_of(process.pid))


def as_yaml(manifest: Manifest) -> str:
    text: str = yaml.dump(dict(manifest), Dumper=yaml.CSafeDumper, sort_keys=False)
    return text


def _replace(path: Path, text: str) -> None:
    written = path.with_suffix(".new")
    written.write_text(text)
    os.replace(written, path)


def stock_manifest() -> dict[str, Any]:
    """The manifest of the case filters: every plugin that a first gateway has."""
    text = (HERE / "gatewright" / "filters.yaml").read_text()
    manifest: dict[str, Any] = yaml.safe_load(text)
    return manifest


def plain_manifest(routes: list[dict[str, Any]]) -> dict[str, Any]:
    """A manifest of routes to the service ``upstream``."""
    return {
        "gatewright": 1,
        "workers": 1,
        "listeners": [{"bind": f"127.0.0.1:{GATEWRIGHT_PORT}"}],
        "services": [{"name": "upstream", "targets": [f"http://127.0.0.1:{UPSTREAM_PORT}"]}],
        "routes": routes,
    }


def worker_of(root: int) -> int:
    """The process that answers."""
    connection = http.client.HTTPConnection("127.0.0.1", GATEWRIGHT_PORT, timeout=10)
    try:
        # A path that no route takes will do: any answer shows that the connection was accepted.
        connection.request("GET", "/", headers={"Host": "worker.invalid"})
        response = connection.getresponse()
        if connection.sock is None:
            raise BenchError(f"the gateway closes its connection after a {response.status}")
        return owner_of_connection(root, connection.sock.getsockname()[1], GATEWRIGHT_PORT)
    except (OSError, LookupError) as error:
        raise BenchError(f"the gateway's worker cannot be found: {error}") from error
    finally:
        connection.close()
