"""What is not HTTP/1.1 is refused, closed, and never forwarded: a table, and a fuzzer with an oracle."""

from __future__ import annotations

import contextlib
import re
import socket

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

G = b"GET / HTTP/1.1\r\n"
P = b"POST / HTTP/1.1\r\nHost: a\r\n"
H = b"Host: a\r\n"
CH = P + b"Transfer-Encoding: chunked\r\n\r\n"


def field(line: bytes) -> bytes:
    return G + H + line + b"\r\n\r\n"


# Each is refused with one of the statuses, the connection closes, and the upstream sees nothing of it.
REFUSED: list[tuple[bytes, set[int]]] = [
    # line ends
    (b"GET / HTTP/1.1\nHost: a\n\n", {400}),
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", {400}),
    (b"GET / HTTP/1.1\rHost: a\r\r", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", {400}),
    (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", {400}),
    # request line
    (b"GET\r\n\r\n", {400}),
    (b"GET /\r\n\r\n", {400, 505}),
    (b"GET / \r\n\r\n", {400, 505}),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/1.1x\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/11\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/1\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", {400, 505}),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", {400, 505}),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", {400, 505}),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", {400, 505}),
    (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", {400, 505}),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP 1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/-1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", {400}),
    (b"GET / ICE/1.0\r\nHost: a\r\n\r\n", {400}),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GE\xe9 / HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", {400, 501}),
    (b"FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n", {400, 501}),
    (b"GETT / HTTP/1.1\r\nHost: a\r\n\r\n", {400, 501}),
    (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b": / HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", {501}),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", {400}),
    (b"\x80\x9e\x01\x03\x01\x00\x75", {400}),
    (b"\x00\x00\x00\x00", {400}),
    (b"\xff\xfe\xfd", {400}),
    (b"SSH-2.0-OpenSSH_9.6\r\n", {400}),
    (b"{}\r\n\r\n", {400}),
    # targets
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /a#x HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /% HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET //a:80:90/../ HTTP/1.1\r\nHost: a:80:90\r\n\r\n", {400}),
    (b"GET http://a b/ HTTP/1.1\r\nHost: a\r\n\r\n", {400}),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    (b"GET /?" + b"x" * 100000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", {414}),
    # Host
    (G + b"\r\n", {400}),
    (G + b"X: y\r\n\r\n", {400}),
    (G + H + H + b"\r\n", {400}),
    (G + H + b"Host: b\r\n\r\n", {400}),
    (G + b"Host:\r\n\r\n", {400}),
    (G + b"Host: \r\n\r\n", {400}),
    (G + b"Host: a b\r\n\r\n", {400}),
    (G + b"Host: a,b,\x80\r\n\r\n", {400}),
    (G + b"Host: a/b\r\n\r\n", {400}),
    (G + b"Host: a?b\r\n\r\n", {400}),
    (G + b"Host: a#b\r\n\r\n", {400}),
    (G + b"Host: u@a\r\n\r\n", {400}),
    (G + b"Host: a:b\r\n\r\n", {400}),
    (G + b"Host: a:80:80\r\n\r\n", {400}),
    (G + b"Host: a:123456\r\n\r\n", {400}),
    (G + b"Host: [::1\r\n\r\n", {400}),
    (G + b"Host: ::1\r\n\r\n", {400}),
    (G + b"Host: <a>\r\n\r\n", {400}),
    (G + b'Host: "a"\r\n\r\n', {400}),
    (G + b"Host: \xc3\xa9\r\n\r\n", {400}),
    (G + b"Host: a\\b\r\n\r\n", {400}),
    # field lines
    (field(b"X : y"), {400}),
    (field(b"X\t: y"), {400}),
    (field(b" X: y"), {400}),
    (field(b"\tX: y"), {400}),
    (field(b"X: y\r\n z"), {400}),
    (field(b"X: y\r\n\tz"), {400}),
    (field(b"X:\r\n y"), {400}),
    (field(b"X"), {400}),
    (field(b": y"), {400}),
    (field(b"X y: z"), {400}),
    (field(b"X@: z"), {400}),
    (field(b"X(: z"), {400}),
    (field(b"X\x00: z"), {400}),
    (field(b"X\xe9: z"), {400}),
    (field(b"X\x7f: z"), {400}),
    (field(b'"X": z'), {400}),
    (field(b"X: a\x00b"), {400}),
    (field(b"X: a\x01b"), {400}),
    (field(b"X: a\x08b"), {400}),
    (field(b"X: a\x0bb"), {400}),
    (field(b"X: a\x0cb"), {400}),
    (field(b"X: a\x1bb"), {400}),
    (field(b"X: a\x7fb"), {400}),
    (field(b"X: a\rb"), {400}),
    (field(b"X: a\nb"), {400}),
    (field(b"X: a\r\n\x00"), {400}),
    (G + b" " + H + b"\r\n", {400}),
    (G + b"\r\n " + H + b"\r\n", {400}),
    # sizes
    (G + H + b"X: " + b"y" * 40000 + b"\r\n\r\n", {431}),
    (G + H + b"X" * 40000 + b": y\r\n\r\n", {431}),
    (G + H + b"".join(b"X-%d: y\r\n" % i for i in range(101)) + b"\r\n", {431}),
    (G + H + b"".join(b"X-%d: y\r\n" % i for i in range(20000)) + b"\r\n", {431}),
    (G + H + b"X: " + b"y" * 40000, {431}),
    # Content-Length
    (P + b"Content-Length: -1\r\n\r\n", {400}),
    (P + b"Content-Length: +1\r\n\r\na", {400}),
    (P + b"Content-Length: 1 1\r\n\r\na", {400}),
    (P + b"Content-Length: 1,1\r\n\r\na", {400}),
    (P + b"Content-Length: 1, 1\r\n\r\na", {400}),
    (P + b"Content-Length: 0x1\r\n\r\na", {400}),
    (P + b"Content-Length: 1.0\r\n\r\na", {400}),
    (P + b"Content-Length: 1e1\r\n\r\na", {400}),
    (P + b"Content-Length: one\r\n\r\na", {400}),
    (P + b"Content-Length:\r\n\r\n", {400}),
    (P + b"Content-Length: \r\n\r\n", {400}),
    (P + b"Content-Length: 99999999999999999999\r\n\r\n", {400, 413}),
    (P + b"Content-Length: 18446744073709551616\r\n\r\n", {400, 413}),
    (P + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", {400}),
    (P + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", {400}),
    (P + b"Content-Length: 1\r\ncontent-length: 0\r\n\r\na", {400}),
    (P + b"Content-Length : 1\r\n\r\na", {400}),
    (P + b"Content-Length: \xb2\r\n\r\na", {400}),
    (P + b"Content-Length: 1_0\r\n\r\n0123456789", {400}),
    # Content-Length with Transfer-Encoding
    (P + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    (P + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", {400}),
    (P + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", {400}),
    # Transfer-Encoding
    (P + b"Transfer-Encoding: gzip\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: identity\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", {400}),
    (P + b"Transfer-Encoding:\x0cchunked\r\n\r\n0\r\n\r\n", {400}),
    (P + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", {400}),
    (P + b"Transfer-Encoding: chu\r\n nked\r\n\r\n0\r\n\r\n", {400}),
    (P + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", {400, 501}),
    (P + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    # expectations and upgrades
    (P + b"Content-Length: 1\r\nExpect: 200-ok\r\n\r\na", {417}),
    (P + b"Content-Length: 3\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nabc", {400}),
]

# The head is fine and may be forwarded; the body is not, and its request is never completed.
BAD_BODIES: list[bytes] = [
    CH + b"x\r\n",
    CH + b"-1\r\n",
    CH + b"+1\r\na\r\n",
    CH + b"0x1\r\na\r\n",
    CH + b"1 \r\na\r\n",
    CH + b" 1\r\na\r\n",
    CH + b"1\t\r\na\r\n",
    CH + b"1 1\r\na\r\n",
    CH + b"g\r\n",
    CH + b"\r\n",
    CH + b"1\na\n0\n\n",
    CH + b"1\r\na\n0\r\n\r\n",
    CH + b"1\na\r\n0\r\n\r\n",
    CH + b"1\r\r\na\r\n",
    CH + b"1\r\nab\r\n0\r\n\r\n",
    CH + b"2\r\na\r\n0\r\n\r\n",
    CH + b"fffffffffffffffff\r\na",
    CH + b"10000000000000000\r\na",
    CH + b"1;\x00\r\na\r\n",
    CH + b"1;a\x01=b\r\na\r\n",
    CH + b"1;a=\x7f\r\na\r\n",
    CH + b'1;a="\n"\r\na\r\n',
    CH + b"1;\n\r\na\r\n",
    CH + b"1;a=b\na\r\n0\r\n\r\n",
    CH + b"1;" + b"a" * 600_000 + b"\r\na\r\n0\r\n\r\n",
    CH + b"".join(b"1;" + b"a" * 60 + b"\r\na\r\n" for _ in range(9000)) + b"0\r\n\r\n",
    CH + b"1\r\na\r\n0\r\nX : y\r\n\r\n",
    CH + b"1\r\na\r\n0\r\n X: y\r\n\r\n",
    CH + b"1\r\na\r\n0\r\nX: y\r\n z\r\n\r\n",
    CH + b"1\r\na\r\n0\r\nX: \x00\r\n\r\n",
    CH + b"1\r\na\r\n0\r\nX: y\n\r\n",
    CH + b"1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n",
    CH + b"1\r\na\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    CH + b"1\r\na\r\n0\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(200)) + b"\r\n",
    CH + b"1\r\na\r\n0\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
    CH + b"\xff\r\n",
    CH + b"1" * 20 + b"\r\n",
]


@pytest.fixture
def lane(shared_proxy):
    """A gateway and its upstream, whose log starts empty."""
    gateway, upstream = shared_proxy
    for log in upstream.received:
        log.clear()
    return gateway, upstream


def test_the_tables_are_large():
    assert len(REFUSED) + len(BAD_BODIES) >= 150
    assert len({case for case, _ in REFUSED}) == len(REFUSED)


def exchange(gateway, data: bytes) -> bytes:
    client = gateway.connect()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.send(data)
    answer = client.rest()
    client.close()
    return answer


@pytest.mark.parametrize("cut", ["whole", "halves", "bytes"])
@pytest.mark.parametrize(("data", "statuses"), REFUSED, ids=range(len(REFUSED)))
def test_refused(lane, data, statuses, cut):
    gateway, upstream = lane
    if cut == "bytes" and len(data) > 500:
        pytest.skip("as long as this, halves say the same")
    client = gateway.connect()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    middle = len(data) // 2
    pieces = {
        "whole": [data],
        "halves": [data[:middle], data[middle:]],
        "bytes": [data[i : i + 1] for i in range(len(data))],
    }[cut]
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for piece in pieces:
            client.send(piece)
        # An innocent request behind it must not be answered.
        client.send(b"\r\n\r\nGET /innocent HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 "), answer
    assert int(answer[9:12]) in statuses, answer[:300]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in answer
    assert b"application/problem+json" in answer
    assert upstream.seen == b""


@pytest.mark.parametrize("data", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_bodies(lane, data):
    gateway, upstream = lane
    answer = exchange(gateway, data + b"GET /innocent HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer[9:12] in (b"400", b"431"), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"/innocent" not in upstream.seen
    assert b"\r\n0\r\n\r\n" not in upstream.seen


# -- what passes must mean the same to everybody ----------------------------------------------------

ATOMS = st.sampled_from(
    [
        b"GET", b"POST", b"HEAD", b"PUT", b" ", b"  ", b"/", b"/a", b"*", b"http://a/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n",
        b"\n", b"\r", b"\r\n\r\n", b"Host", b"Host: a\r\n", b":", b": ", b"a", b"Content-Length", b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n", b"Transfer-Encoding", b"Transfer-Encoding: chunked\r\n", b"chunked", b"gzip", b",", b"3",
        b"3\r\nabc\r\n", b"0\r\n\r\n", b"0", b"abc", b"Connection: close\r\n", b"Connection: keep-alive, x\r\n", b"X: y\r\n",
        b"\x00", b"\t", b"\x0b", b"\x7f", b"\xff", b";", b'"', b"Expect: 100-continue\r\n", b"Upgrade: x\r\n",
    ]
)  # fmt: skip
MESSAGES = st.one_of(
    st.lists(ATOMS, max_size=30).map(b"".join),
    st.tuples(
        st.sampled_from([b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST /p HTTP/1.1\r\nHost: a\r\n"]),
        st.lists(ATOMS, max_size=15),
    ).map(lambda pair: pair[0] + b"".join(pair[1])),
    st.binary(max_size=300),
)


def read_as_h11(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Method, target and body of each request, as an independent strict parser reads the stream."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    requests: list[tuple[bytes, bytes, bytes]] = []
    body = b""
    head: h11.Request | None = None
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head, body = event, b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            requests.append((bytes(head.method), bytes(head.target), body))
            connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return requests
            connection.start_next_cycle()
        else:
            return requests


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=MESSAGES)
def test_fuzz(lane, data):
    """No crash, no hang, and what is forwarded is unambiguous."""
    gateway, upstream = lane
    for log in upstream.received:
        log.clear()
    client = gateway.connect(timeout=5)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError, OSError):
        client.send(data)
        client.sock.shutdown(socket.SHUT_WR)
    answer = client.rest()
    client.close()
    for status in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, re.MULTILINE):
        assert status not in (b"500", b"502"), answer
    # Whatever reached the upstream is a sequence of requests that an independent parser reads too.
    for log in upstream.received:
        if log:
            assert (
                read_as_h11(bytes(log))
                or b"\r\n\r\n" not in bytes(log)
                or b"chunked" in log
                or b"Content-Length" in log
            )
    # And the gateway lives.
    probe = gateway.connect(timeout=5)
    assert probe.send(b"GET /probe HTTP/1.1\r\nHost: a\r\n\r\n").reply().status == 200
    probe.close()
