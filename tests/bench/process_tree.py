"""What a process and its descendants use, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. Resident pages that processes share count once for each in ``rss``, in parts in ``pss``."""

    rss: int
    pss: int


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    parent: int
    ticks: int


def tree(root: int) -> list[int]:
    """The process and every descendant of it that is alive, parents before children."""
    return [stat.pid for stat in _tree(root)]


def cpu_seconds(root: int) -> float:
    """User and system time of the whole tree, that of children already reaped included.

    The kernel keeps the sum of both exactly, by the scheduler's clock; only their split is sampled.
    """
    return sum(stat.ticks for stat in _tree(root)) / _TICKS_PER_SECOND


def memory(pid: int) -> Memory:
    """Of one process."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) * 1024
    return Memory(rss=fields["Rss"], pss=fields["Pss"])


def tree_memory(root: int) -> Memory:
    """The sums over the tree."""
    parts = [memory(pid) for pid in tree(root)]
    return Memory(rss=sum(part.rss for part in parts), pss=sum(part.pss for part in parts))


def owner_of_connection(root: int, client_port: int, server_port: int) -> int:
    """The process of the tree that holds the server's end of a loopback connection.

    Raises:
        LookupError: none does.
    """
    inode = _inode_of_connection(server_port, client_port)
    for pid in tree(root):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except FileNotFoundError:
                continue
            if target == f"socket:[{inode}]":
                return pid
    raise LookupError(f"no process below {root} holds the connection from port {client_port}")


def _inode_of_connection(local_port: int, remote_port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        ports = tuple(int(address.rpartition(":")[2], 16) for address in columns[1:3])
        if ports == (local_port, remote_port):
            return columns[9]
    raise LookupError(f"there is no connection from port {remote_port} to port {local_port}")


def _tree(root: int) -> list[_Stat]:
    children: dict[int, list[_Stat]] = {}
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))) is not None:
            children.setdefault(stat.parent, []).append(stat)
            if stat.pid == root:
                found.append(stat)
    for stat in found:
        found.extend(children.get(stat.pid, ()))
    return found


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # proc_pid_stat(5): the name in parentheses may hold anything, so fields count from behind it.
    fields = text[text.rindex(")") + 2 :].split()
    return _Stat(pid=pid, parent=int(fields[1]), ticks=sum(int(field) for field in fields[11:15]))
