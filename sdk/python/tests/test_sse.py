"""The event stream format, case by case of the standard, at every place where it may be cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright_sdk import EventParser, EventStreamTooLong, ServerSentEvent

Event = ServerSentEvent


def parse(*chunks: bytes, limit: int = 1 << 20) -> list[Event]:
    parser = EventParser(limit)
    return [event for chunk in chunks for event in parser.feed(chunk)]


CASES: list[tuple[bytes, list[Event]]] = [
    (b"", []),
    (b"\n\n\n", []),
    (b"data: x\n\n", [Event("x")]),
    (b"data: x\r\r", [Event("x")]),
    (b"data: x\r\n\r\n", [Event("x")]),
    (b"data: x\r\n\ndata: y\n\r\ndata: z\r\n\r", [Event("x"), Event("y"), Event("z")]),
    (b"data: x\r\ndata: y\r\r\ndata: z\n\n", [Event("x\ny"), Event("z")]),
    (b"data: x", []),
    (b"data: x\n", []),
    (b"data: x\n\ndata: y\n", [Event("x")]),
    # White space: one space after the colon goes, nothing else does.
    (b"data:x\n\ndata:  x\n\ndata: x \n\ndata:\tx\n\n", [Event("x"), Event(" x"), Event("x "), Event("\tx")]),
    # Data: lines are joined, and one without a value is an empty line.
    (b"data: a\ndata\ndata:\ndata: b\n\n", [Event("a\n\n\nb")]),
    (b"data\n\n", [Event("")]),
    (b"data\ndata\n\n", [Event("\n")]),
    (b"data:\n\n", [Event("")]),
    (b"data: a: b\n\n", [Event("a: b")]),
    # Event: the last one counts, an empty one too.
    (b"event: a\nevent: b\ndata: x\n\n", [Event("x", event="b")]),
    (b"event: a\nevent\ndata: x\n\n", [Event("x")]),
    (b"event: a\n\ndata: x\n\n", [Event(event="a"), Event("x")]),
    # Id: the last valid one counts; one with NUL is ignored; an empty one resets.
    (b"id: 1\nid: 2\n\n", [Event(id="2")]),
    (b"id: 1\nid: a\0b\ndata: x\n\n", [Event("x", id="1")]),
    (b"id: a\0b\n\n", []),
    (b"id\ndata: x\n\n", [Event("x", id="")]),
    # Retry: ASCII digits and nothing else.
    (b"retry: 0\n\nretry: 007\n\nretry: 3000\n\n", [Event(retry=0), Event(retry=7), Event(retry=3000)]),
    (b"retry: 1\nretry: 2s\nretry: -1\nretry: 1.5\nretry:\nretry: \xd9\xa3\nretry:  4\n\n", [Event(retry=1)]),
    (b"retry: " + b"9" * 5000 + b"\ndata: x\n\n", [Event("x")]),
    # Comments, which are how servers keep a connection open.
    (b":\n\n", [Event(comments=("",))]),
    (b": ping\n:pong\n:  two spaces\n\n", [Event(comments=("ping", "pong", " two spaces"))]),
    (b": note\ndata: x\n\n", [Event("x", comments=("note",))]),
    # Names: what is not known is ignored, and case matters.
    (b"foo: bar\nDATA: x\n data: y\n\n", []),
    (b"foo: bar\n\ndata: x\n\n", [Event("x")]),
    # Encoding: UTF-8, one byte order mark at the start, replacement characters for what is wrong.
    ("data: caf\u00e9 \U0001f680\n\n".encode(), [Event("caf\u00e9 \U0001f680")]),
    (b"\xef\xbb\xbfdata: x\n\n", [Event("x")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
    (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [Event("x")]),
    (b"\xef\xbbdata: x\n\ndata: y\n\n", [Event("y")]),
    (b"data: \xff\xc3\n\n", [Event("\ufffd\ufffd")]),
    ("data: a\u2028b\x0bc\x85\n\n".encode(), [Event("a\u2028b\x0bc\x85")]),
]


@pytest.mark.parametrize(("stream", "events"), CASES, ids=lambda value: repr(value)[:40])
def test_a_stream_whole_and_byte_by_byte(stream: bytes, events: list[Event]) -> None:
    assert parse(stream) == events
    assert parse(*(bytes([byte]) for byte in stream)) == events
    assert parse(*(piece for byte in stream for piece in (b"", bytes([byte]))), b"") == events


@pytest.mark.parametrize(
    ("stream", "events"), [case for case in CASES if len(case[0]) < 200], ids=lambda v: repr(v)[:40]
)
def test_a_stream_cut_at_every_place(stream: bytes, events: list[Event]) -> None:
    for cut in range(len(stream) + 1):
        assert parse(stream[:cut], stream[cut:]) == events, cut


LINES = st.sampled_from(
    [
        b"data: a",
        b"data",
        b"event: e",
        b"id: 1",
        b"id: \0",
        b"retry: 5",
        b"retry: x",
        b": c",
        b"\xf0\x9f\x9a",
        b"",
        b"x",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@settings(max_examples=150)
@given(
    lines=st.lists(st.tuples(LINES, ENDS), max_size=10),
    bom=st.booleans(),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
def test_where_a_stream_is_cut_makes_no_difference(
    lines: list[tuple[bytes, bytes]], bom: bool, cuts: list[int]
) -> None:
    stream = b"\xef\xbb\xbf" * bom + b"".join(map(b"".join, lines))
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert parse(*(stream[start:end] for start, end in itertools.pairwise(places))) == parse(stream)


TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=12)
EVENTS = st.builds(
    Event,
    data=st.none() | st.lists(TEXT, min_size=1, max_size=3).map("\n".join),
    event=TEXT,
    id=st.none() | TEXT.map(lambda text: text.replace("\0", "")),
    retry=st.none() | st.integers(0, 10**9),
    comments=st.lists(TEXT, max_size=2).map(tuple),
)


@settings(max_examples=150)
@given(st.lists(EVENTS, max_size=4))
def test_what_is_encoded_is_what_is_parsed(events: list[Event]) -> None:
    # Nothing is left of an event that says nothing.
    assert parse(b"".join(event.encode() for event in events)) == [event for event in events if event != Event()]


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (Event("x"), b"data: x\n\n"),
        (Event(""), b"data: \n\n"),
        (Event("a\nb\r\nc\rd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (Event("x\n\nevent: evil"), b"data: x\ndata: \ndata: event: evil\n\n"),
        (Event("x\r\rid: evil"), b"data: x\ndata: \ndata: id: evil\n\n"),
        (Event("x", "e", "7", 5, ("c", "")), b": c\n:\nevent: e\nid: 7\nretry: 5\ndata: x\n\n"),
        (Event(comments=("c\ndata: evil", "d\revent: evil")), b": c\n: data: evil\n: d\n: event: evil\n\n"),
        (Event(id=""), b"id: \n\n"),
        (Event(), b"\n"),
        (Event("caf\u00e9\u2028"), "data: caf\u00e9\u2028\n\n".encode()),
    ],
)
def test_the_wire(event: Event, wire: bytes) -> None:
    assert event.encode() == wire


@pytest.mark.parametrize(
    "event",
    [Event(event="a\nb"), Event(event="a\rb"), Event(id="1\n2"), Event(id="1\r"), Event(id="\0")],
    ids=lambda event: repr((event.event, event.id)),
)
def test_what_would_break_out_of_its_line_is_refused(event: Event) -> None:
    with pytest.raises(ValueError, match="of an event cannot be"):
        event.encode()


@pytest.mark.parametrize("pieces", [1, 3, 7, 100])
@pytest.mark.parametrize(
    ("stream", "is_too_long"),
    [
        (b"data: 34567890\n\n", False),
        (b"data: 345678901\n\n", True),
        (b"data: 34567890\n\n" * 3, False),
        (b"data: 1\ndata: \n\n", False),
        (b"data: 1\ndata: 23\n\n", True),
        (b"a\n" * 9, True),
        (b":" * 17, True),
        (b"\n" * 100, False),
        (b"\r\n" * 100, False),
    ],
    ids=repr,
)
def test_an_event_has_a_limit_however_it_comes(stream: bytes, is_too_long: bool, pieces: int) -> None:
    parser = EventParser(limit=16)
    chunks = [stream[start : start + pieces] for start in range(0, len(stream), pieces)]
    if is_too_long:
        with pytest.raises(EventStreamTooLong, match="longer than 16 bytes"):
            [parser.feed(chunk) for chunk in chunks]
    else:
        assert sum(len(parser.feed(chunk)) for chunk in chunks) == stream.count(b"\n\n") * (stream[0] == ord("d"))


def test_events_come_out_as_soon_as_they_are_whole() -> None:
    parser = EventParser()
    assert parser.feed(b"data: x\r\n") == []
    assert parser.feed(b"\r") == [Event("x")]
    assert parser.feed(b"\ndata: y\n\ndata") == [Event("y")]
    assert parser.feed(b": z\n\n") == [Event("z")]
