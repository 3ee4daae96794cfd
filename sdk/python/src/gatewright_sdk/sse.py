"""Server-sent events: the ``text/event-stream`` format of the WHATWG HTML standard, section 9.2.6."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_TEXT_LINE_END = re.compile(r"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
#: Digits that a reconnection time may have; more would be 30,000 years.
_RETRY_DIGITS = 15


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
        """The block on the wire, with its blank line.

        A line break of any kind in ``data`` or a comment starts another line of it, so that no
        value can bring in fields or events of its own.

        Raises:
            ValueError: ``event`` or ``id`` holds what cannot be sent in it: a line break, or NUL in an id.
        """
        lines = [f": {line}" if line else ":" for comment in self.comments for line in _lines(comment)]
        if self.event:
            lines.append(f"event: {_one_line('event', self.event)}")
        if self.id is not None:
            lines.append(f"id: {_one_line('id', self.id)}")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}")
        if self.data is not None:
            lines.extend(f"data: {line}" for line in _lines(self.data))
        lines.append("\n")
        return "\n".join(lines).encode()


def _lines(text: str) -> list[str]:
    return _TEXT_LINE_END.split(text) if "\r" in text else text.split("\n")


def _one_line(field: str, value: str) -> str:
    if "\n" in value or "\r" in value or (field == "id" and "\0" in value):
        raise ValueError(f"the {field} of an event cannot be {value!r}")
    return value


class EventStreamTooLong(ValueError):
    """An event is longer than the parser's limit."""


class EventParser:
    """Bytes in, whole events out, at whatever places the stream was cut.

    A block that ends without its blank line is discarded at the end, as the standard says, and so is
    one without any field that the standard knows.

    Args:
        limit: bytes that one event may have, line ends included.
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit
        self._line = bytearray()
        self._start: bytes | None = b""
        self._skip_line_feed = False
        self._begin()

    def _begin(self) -> None:
        self._size = 0
        self._event = ServerSentEvent()
        self._data: list[str] = []
        self._comments: list[str] = []
        self._is_known = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that ``chunk`` completes.

        Raises:
            EventStreamTooLong: an event exceeds the limit.
        """
        events: list[ServerSentEvent] = []
        if self._start is not None:
            chunk = self._strip_bom(self._start + chunk)
        if self._skip_line_feed and chunk:
            self._skip_line_feed = False
            chunk = chunk.removeprefix(b"\n")
        position = 0
        for end in _LINE_END.finditer(chunk):
            line = chunk[position : end.start()]
            self._grow(len(line) + 1)
            position = end.end()
            if self._line:
                line = bytes(self._line + line)
                self._line.clear()
            if line:
                self._add(line)
            else:
                if self._is_known:
                    events.append(self._complete())
                self._begin()
        # A CR that ends the chunk may be the first half of a CRLF.
        if chunk and position == len(chunk):
            self._skip_line_feed = chunk.endswith(b"\r")
        else:
            self._grow(len(chunk) - position)
            self._line += chunk[position:]
        return events

    def _strip_bom(self, start: bytes) -> bytes:
        """The stream without its byte order mark; empty while it may still become one."""
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(_BOM)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._limit:
            raise EventStreamTooLong(f"an event is longer than {self._limit} bytes")

    def _add(self, line: bytes) -> None:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        event = self._event
        if name == "data":
            self._data.append(value)
        elif name == "":
            self._comments.append(value)
        elif name == "event":
            event.event = value
        elif name == "id" and "\0" not in value:
            event.id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) <= _RETRY_DIGITS:
            event.retry = int(value)
        else:
            return
        self._is_known = True

    def _complete(self) -> ServerSentEvent:
        event = self._event
        if self._data:
            event.data = "\n".join(self._data)
        event.comments = tuple(self._comments)
        return event
