"""Server-sent events: the ``text/event-stream`` format of the WHATWG HTML standard, section 9.2.6."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class ServerSentEvent:
    """One event.

    Attributes:
        data: the data lines joined by ``\\n``; None for a block without data (a comment, an id, a retry).
        event: the event type; empty means ``message``.
        id: the event id, if the block sets one.
        retry: reconnection time in milliseconds, if the block sets one.
        comments: comment lines, kept so that heartbeats pass.
    """

    data: str | None = None
    event: str = ""
    id: str | None = None
    retry: int | None = None
    comments: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The block on the wire, with its blank line."""
        lines = [f": {comment}" if comment else ":" for comment in self.comments]
        if self.event:
            lines.append(f"event: {self.event}")
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}")
        if self.data is not None:
            lines.extend(f"data: {line}" for line in self.data.split("\n"))
        return ("\n".join(lines) + "\n\n").encode()


class EventStreamTooLong(ValueError):
    """An event is longer than the parser's limit."""


class EventParser:
    """Bytes in, whole events out, at whatever places the stream was cut.

    A block that ends without its blank line is discarded at the end, as the standard says.

    Args:
        limit: bytes that one event may have.
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit
        self._buffer = b""
        self._size = 0
        self._at_start = True
        self._skip_line_feed = False
        self._fields: list[tuple[str, str]] = []

    def feed(self, chunk: bytes) -> Iterable[ServerSentEvent]:
        """The events that ``chunk`` completes.

        Raises:
            EventStreamTooLong: an event exceeds the limit.
        """
        events = []
        if self._skip_line_feed and chunk:
            self._skip_line_feed = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        buffer = self._buffer + chunk
        if self._at_start:
            if len(buffer) < 3 and _BOM.startswith(buffer):
                self._buffer = buffer
                return events
            self._at_start = False
            buffer = buffer.removeprefix(_BOM)
        position = 0
        for end in _LINE_END.finditer(buffer):
            if end[0] == b"\r" and end.end() == len(buffer):
                self._skip_line_feed = True
            line = buffer[position : end.start()]
            position = end.end()
            self._size += len(line)
            if self._size > self._limit:
                raise EventStreamTooLong(f"an event is longer than {self._limit} bytes")
            if line:
                self._fields.append(_split(line.decode("utf-8", "replace")))
            elif self._fields:
                events.append(_event(self._fields))
                self._fields, self._size = [], 0
        self._buffer = buffer[position:]
        if self._size + len(self._buffer) > self._limit:
            raise EventStreamTooLong(f"an event is longer than {self._limit} bytes")
        return events


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")


def _event(fields: list[tuple[str, str]]) -> ServerSentEvent:
    event = ServerSentEvent()
    data: list[str] = []
    comments: list[str] = []
    for name, value in fields:
        if name == "data":
            data.append(value)
        elif name == "event":
            event.event = value
        elif name == "id" and "\0" not in value:
            event.id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            event.retry = int(value)
        elif name == "":
            comments.append(value)
    event.data = "\n".join(data) if data else None
    event.comments = tuple(comments)
    return event
