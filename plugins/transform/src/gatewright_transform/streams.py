"""Streams of JSON documents, changed one by one as they pass: lines, and compressed event streams."""

from __future__ import annotations

from collections.abc import Callable

from gatewright_sdk import EventParser, ServerSentEvent
from gatewright_transform.codings import Codec, TooLarge

#: Changes one document; None where nothing changes.
Change = Callable[[str], bytes | None]


class Lines:
    """NDJSON and its like: a document a line.

    Args:
        change: called for each line.
        limit: bytes of a line; a longer one passes unchanged from its first byte to its last.
    """

    def __init__(self, change: Change, limit: int) -> None:
        self._change = change
        self._limit = limit
        self._held = b""
        self._is_passing = False

    def feed(self, data: bytes) -> bytes:
        """What can go on now."""
        *lines, rest = (self._held + data).split(b"\n")
        self._held = b""
        done = [self._line(line) + b"\n" for line in lines]
        if self._is_passing or len(rest) > self._limit:
            self._is_passing = True
            done.append(rest)
        else:
            self._held = rest
        return b"".join(done)

    def finish(self) -> bytes:
        """The last line, if it has no end."""
        held, self._held = self._held, b""
        return self._line(held) if held else b""

    def _line(self, line: bytes) -> bytes:
        if self._is_passing:
            self._is_passing = False
            return line
        if len(line) > self._limit:
            return line
        # RFC 7464 puts a record separator before each document.
        start = line[:1] if line[:1] == b"\x1e" else b""
        body = line[len(start) :]
        if not body.strip():
            return line
        try:
            changed = self._change(body.decode())
        except UnicodeDecodeError:
            return line
        return line if changed is None else start + changed + (b"\r" if line.endswith(b"\r") else b"")


class Events:
    """An event stream that the gateway has not taken apart, because it is compressed."""

    def __init__(self, change: Change, limit: int) -> None:
        self._change = change
        self._limit = limit
        self._parser = EventParser(limit)

    def feed(self, data: bytes) -> bytes:
        return b"".join(changed_event(event, self._change).encode() for event in self._parser.feed(data))

    def finish(self) -> bytes:
        return b""


def changed_event(event: ServerSentEvent, change: Change) -> ServerSentEvent:
    """The event with its data changed, where that is a JSON document."""
    if event.data is None:
        return event
    changed = change(event.data)
    if changed is None:
        return event
    return ServerSentEvent(changed.decode(), event.event, event.id, event.retry, event.comments)


class Coded:
    """A stream inside its content codings.

    Raises:
        TooLarge, Undecodable: from ``feed``.
    """

    def __init__(self, inner: Lines | Events, codec: Codec, limit: int) -> None:
        self._inner = inner
        self._codec = codec
        # One piece of a stream may hold many events.
        self._limit = limit * 16

    def feed(self, data: bytes) -> bytes:
        return self._codec.encode(self._inner.feed(self._codec.decode(data, self._limit)))

    def finish(self) -> bytes:
        return self._codec.encode(self._inner.finish()) + self._codec.finish()


__all__ = ["Coded", "Events", "Lines", "TooLarge", "changed_event"]
