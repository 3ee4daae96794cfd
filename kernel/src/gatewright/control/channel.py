"""The control socket: one JSON object a line each way, for processes of the same user only."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc

from gatewright.errors import StartError
from gatewright_sdk import GatewrightError

Message = dict[str, Any]
Handler = Callable[[Message], Awaitable[Message]]

_MAX_COMMAND = 64 * 1024
_UCRED = struct.Struct("3i")


async def serve(path: Path, handle: Handler, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """Answer commands until cancelled."""
    listener = await anyio.create_unix_listener(path, mode=0o600)
    async with listener:
        task_status.started()
        await listener.serve(lambda stream: _converse(stream, handle))


async def _converse(stream: anyio.abc.SocketStream, handle: Handler) -> None:
    async with stream:
        raw: socket.socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)  # noqa: S610 - no Django here
        _, uid, _ = _UCRED.unpack(raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        if uid not in (0, os.getuid()):
            return
        try:
            command = json.loads(await _line(stream))
            answer = await handle(command) if isinstance(command, dict) else {"ok": False, "error": "not an object"}
        except ValueError as error:
            answer = {"ok": False, "error": f"not a command: {error}"}
        except anyio.EndOfStream:
            return
        except Exception as error:  # noqa: BLE001 - a defect in a command must not end the gateway
            answer = {"ok": False, "error": f"the command failed: {type(error).__name__}: {error}"}
        try:
            await stream.send(json.dumps(answer).encode() + b"\n")
        except anyio.BrokenResourceError:
            return


async def _line(stream: anyio.abc.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += await stream.receive()
        if len(line) > _MAX_COMMAND:
            raise ValueError("the command is too long")
    return line


def send(path: Path, command: Message, timeout: float = 300.0) -> Message:
    """Send one command and wait for its answer.

    Raises:
        StartError: no gateway answers at ``path``.
        GatewrightError: it answered something else than an object.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect(str(path))
            sock.sendall(json.dumps(command).encode() + b"\n")
            with sock.makefile("rb") as lines:
                answer = json.loads(lines.readline() or b"{}")
    except OSError as error:
        raise StartError(f"no gateway answers at {path} ({error.strerror or error}); is it running?") from error
    if not isinstance(answer, dict) or not answer:
        raise GatewrightError(f"the gateway at {path} ended before it answered")
    return answer
