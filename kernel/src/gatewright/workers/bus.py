"""Messages between the supervisor and one worker: JSON frames over a socket pair, with descriptors.

A frame is its length in four bytes, big-endian, and a JSON object. Descriptors travel with the first
byte of the frame that counts them in ``fds``.
"""

from __future__ import annotations

import array
import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gatewright_sdk import GatewrightError

Message = dict[str, Any]

_LENGTH = struct.Struct("!I")
#: What one frame may hold; the supervisor cuts configs into far smaller ones.
MAX_FRAME = 64 << 20
_READ = 256 * 1024
_MAX_DESCRIPTORS = 64


class BusClosed(GatewrightError):
    """The other end has gone."""


class FrameReader:
    """Takes bytes as they come, gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now.

        Raises:
            BusClosed: the stream makes no sense.
        """
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        start = 0
        while len(buffer) - start >= 4:
            (size,) = _LENGTH.unpack_from(buffer, start)
            if size > MAX_FRAME:
                raise BusClosed("a frame on the bus is too large")
            if len(buffer) - start - 4 < size:
                break
            messages.append(json.loads(buffer[start + 4 : start + 4 + size]))
            start += 4 + size
        del buffer[:start]
        return messages


def frame(body: bytes) -> bytes:
    return _LENGTH.pack(len(body)) + body


class Bus:
    """One end of a socket pair, on the running loop."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._received: deque[Message] = deque()
        self._descriptors: deque[int] = deque()
        self._sending = asyncio.Lock()
        self._is_closed = False

    async def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send one message, and descriptors with it.

        Raises:
            BusClosed: nobody is there any more.
        """
        await self.send_encoded(json.dumps({**message, "fds": len(fds)} if fds else message).encode(), fds)

    async def send_encoded(self, body: bytes, fds: Sequence[int] = ()) -> None:
        """As ``send``, of a message that is JSON already."""
        data = memoryview(frame(body))
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        async with self._sending:
            while data:
                if self._is_closed:
                    raise BusClosed("the bus is closed")
                try:
                    sent = self._sock.sendmsg([data], ancillary)
                except BlockingIOError:
                    await self._ready(self._loop.add_writer, self._loop.remove_writer)
                except OSError as error:
                    raise BusClosed(f"the bus is closed: {error}") from error
                else:
                    data, ancillary = data[sent:], []

    async def receive(self) -> tuple[Message, list[int]]:
        """The next message, and the descriptors that came with it.

        Raises:
            BusClosed: the other end has gone and all that it sent has been received.
        """
        while not self._received:
            if self._is_closed:
                raise BusClosed("the bus is closed")
            try:
                data, descriptors, _, _ = socket.recv_fds(self._sock, _READ, _MAX_DESCRIPTORS)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
                continue
            except OSError as error:
                raise BusClosed(f"the bus is closed: {error}") from error
            if not data:
                raise BusClosed("the other end has closed the bus")
            self._descriptors.extend(descriptors)
            self._received.extend(self._reader.feed(data))
        message = self._received.popleft()
        return message, [self._descriptors.popleft() for _ in range(message.pop("fds", 0))]

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()

    async def _ready(self, add: Callable[..., Any], remove: Callable[[Any], Any]) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        add(self._sock, wake)
        try:
            await ready
        finally:
            if not self._is_closed:
                remove(self._sock)
