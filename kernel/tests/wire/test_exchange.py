"""Plain exchanges over HTTP/1.1: keep-alive, pipelining, bodies, interim responses, upstreams that fail."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

GET = b"GET %b HTTP/1.1\r\nHost: example.test\r\n\r\n"


def wait_for(condition, seconds: float = 5.0) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if condition():
            return True
        time.sleep(0.005)
    return False


def test_request_is_reserialised(proxy):
    gateway, upstream = proxy()
    client = gateway.connect()
    client.send(
        b"GET /a/b?x=1 HTTP/1.1\r\nhOST: Example.test:81\r\nAccept:   text/html  \r\nx-a: 1\r\nX-A: 2\r\n"
        b"Connection: keep-alive, x-secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
        b"Proxy-Connection: keep-alive\r\nX-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\n\r\n"
    )
    assert client.reply().body == b"ok"
    lines = upstream.seen.split(b"\r\n")
    assert lines[0] == b"GET /a/b?x=1 HTTP/1.1"
    assert lines[1] == b"Host: " + upstream.url[7:].encode()
    assert b"Accept: text/html" in [line.rstrip() for line in lines]
    assert [line for line in lines if line.lower().startswith(b"x-a:")] == [b"x-a: 1", b"X-A: 2"]
    assert b"X-Forwarded-For: 127.0.0.1" in lines
    assert b"X-Forwarded-Proto: http" in lines
    assert b"X-Forwarded-Host: Example.test:81" in lines
    assert b"Via: 1.1 gatewright" in lines
    lowered = upstream.seen.lower()
    for gone in (b"x-secret", b"keep-alive", b"\r\nte:", b"proxy-connection", b"9.9.9.9", b"\r\nconnection:"):
        assert gone not in lowered


def test_response_is_reserialised(proxy):
    def handler(peer):
        peer.request()
        peer.send(
            b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n"
            b"Keep-Alive: timeout=1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhi"
        )
        peer.wait_closed()

    gateway, _ = proxy(handler)
    reply = gateway.connect().send(GET % b"/").reply()
    assert [value for name, value in reply.fields if name == "set-cookie"] == ["a=1", "b=2"]
    assert reply.get("x-hop") is None
    assert reply.get("keep-alive") is None
    assert reply["via"] == "1.1 gatewright"


def test_keep_alive_reuses_both_sides(proxy):
    gateway, upstream = proxy()
    client = gateway.connect()
    for _ in range(5):
        assert client.send(GET % b"/").reply().body == b"ok"
    assert len(upstream.received) == 1


def test_pipelined_requests_are_answered_in_order(proxy):
    def handler(peer):
        while True:
            fields, _ = peer.request()
            path = fields[""].split(" ")[1].encode()
            if path == b"/0":
                time.sleep(0.05)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    gateway, _ = proxy(handler)
    client = gateway.connect()
    client.send(b"".join(GET % b"/%d" % i for i in range(20)))
    assert [client.reply().body for _ in range(20)] == [b"/%d" % i for i in range(20)]


def test_too_deep_a_pipeline_is_refused_after_the_answers(proxy):
    gateway, _ = proxy(listener={"limits": {"pipeline_depth": 3}})
    client = gateway.connect().send(b"".join(GET % b"/%d" % i for i in range(10)))
    statuses = [client.reply().status for _ in range(5)]
    assert statuses == [200, 200, 200, 200, 429]
    assert client.is_closed()


@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (b"Content-Length: 5\r\n", b"hello", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"Content-Length: 0\r\n", b"", b""),
        (b"Transfer-Encoding: Chunked\r\n", b"0\r\n\r\n", b""),
    ],
)
def test_request_bodies(proxy, head, body, expected, cut):
    bodies = []

    def handler(peer):
        while True:
            bodies.append(peer.request()[1])
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    gateway, _ = proxy(handler)
    client = gateway.connect()
    for _ in range(2):
        message = b"POST / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n" + body
        for piece in [message] if cut == "whole" else [message[i : i + 1] for i in range(len(message))]:
            client.send(piece)
        assert client.reply().status == 200
    assert bodies == [expected, expected]


def test_request_trailers_reach_the_upstream(proxy):
    gateway, upstream = proxy()
    client = gateway.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n")
    assert client.reply().status == 200
    assert upstream.seen.endswith(b"0\r\nX-Sum: 7\r\n\r\n")


@pytest.mark.parametrize(
    "name", [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Host: b", b"Connection: close"]
)
def test_framing_in_trailers_is_refused(proxy, name):
    gateway, _ = proxy()
    client = gateway.connect()
    client.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + name + b"\r\n\r\n"
    )
    assert client.reply().status == 400
    assert client.is_closed()


RESPONSES = [
    (b"Content-Length: 5\r\n\r\nhello", b"hello", []),
    (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello", []),
    (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", b"hello", [b"X-T: 1"]),
    (b"\r\nhello", b"hello", []),
    (b"Content-Length: 0\r\n\r\n", b"", []),
]


@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize(("answer", "body", "trailers"), RESPONSES)
def test_response_bodies(proxy, answer, body, trailers, cut):
    message = b"HTTP/1.1 200 OK\r\n" + answer

    def handler(peer):
        peer.request()
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [message] if cut == "whole" else [message[i : i + 1] for i in range(len(message))]:
            peer.send(piece)
            if cut == "bytes":
                time.sleep(0.0005)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_closed()

    gateway, _ = proxy(handler)
    client = gateway.connect()
    for _ in range(2):
        reply = client.send(GET % b"/").reply()
        assert (reply.body, reply.trailers) == (body, trailers)


@pytest.mark.parametrize("answer", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_head_has_no_body_and_keeps_the_connection(proxy, answer):
    def handler(peer):
        while True:
            peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\n" + answer + b"\r\n")

    gateway, upstream = proxy(handler)
    client = gateway.connect()
    for _ in range(3):
        reply = client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").reply("HEAD")
        assert reply.status == 200
        if b"Length" in answer:
            assert reply["content-length"] == "5"
    assert len(upstream.received) == 1


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(proxy, status):
    def handler(peer):
        while True:
            peer.request()
            peer.send(b"HTTP/1.1 %d X\r\nEtag: x\r\n\r\n" % status)

    gateway, upstream = proxy(handler)
    client = gateway.connect()
    for _ in range(3):
        reply = client.send(GET % b"/").reply()
        assert (reply.status, reply["etag"]) == (status, "x")
        assert reply.get("transfer-encoding") is None
    assert len(upstream.received) == 1


def test_expect_continue_goes_end_to_end(proxy):
    def handler(peer):
        fields = peer.head()
        assert fields["expect"] == "100-continue"
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.exactly(5) == b"hello"
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        peer.wait_closed()

    gateway, _ = proxy(handler)
    client = gateway.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    client.send(b"hello")
    assert client.reply().status == 200


def test_refused_expectation_closes(proxy):
    def handler(peer):
        peer.head()
        peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        peer.wait_closed()

    gateway, _ = proxy(handler)
    client = gateway.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    reply = client.reply()
    assert (reply.status, reply["connection"]) == (401, "close")
    assert client.is_closed()


def test_interim_responses_pass(proxy):
    def handler(peer):
        while True:
            peer.request()
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    gateway, _ = proxy(handler)
    reply = gateway.connect().send(GET % b"/").reply()
    assert [b"Link" in head for head in reply.interim] == [True, True]
    assert reply.status == 200
    old = gateway.connect().send(b"GET / HTTP/1.0\r\n\r\n").reply()
    assert old.interim == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"rubbish\r\n\r\n", "upstream-bad-response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "upstream-bad-response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "upstream-bad-response"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "upstream-bad-response"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 300_000, "upstream-bad-response"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n", "upstream-bad-response"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "upstream-bad-response"),
        (b"HTTP/1.1 200 OK\r\nConte", "upstream-connection-lost"),
        (b"", "upstream-connection-lost"),
    ],
)
def test_bad_upstreams_give_502(proxy, answer, code):
    def handler(peer):
        peer.request()
        peer.send(answer)

    gateway, _ = proxy(handler)
    client = gateway.connect()
    reply = client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").reply()
    assert (reply.status, json.loads(reply.body)["code"]) == (502, code)
    assert reply["content-type"] == "application/problem+json"
    assert "error=" in reply["proxy-status"]
    assert client.send(GET % b"/").reply().status == 502  # the client's connection lives on


@pytest.mark.parametrize("answer", [b"Content-Length: 10\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"])
def test_truncated_responses_are_seen_as_such(proxy, answer):
    def handler(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n" + answer)

    gateway, _ = proxy(handler)
    client = gateway.connect().send(GET % b"/")
    with pytest.raises((EOFError, ConnectionResetError)):
        client.reply()


def test_stale_connection_is_retried_once(proxy):
    def handler(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        peer.request()  # and closes without an answer, as if it had been idle too long

    gateway, upstream = proxy(handler)
    client = gateway.connect()
    for _ in range(4):
        assert client.send(GET % b"/").reply().status == 200
    assert len(upstream.received) == 4
    reply = client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").reply()
    assert reply.status == 502  # may have been processed: not repeated


def test_first_use_failure_is_not_retried(proxy):
    gateway, upstream = proxy(lambda peer: peer.head())
    assert gateway.connect().send(GET % b"/").reply().status == 502
    assert len(upstream.received) == 1


def test_refused_connection(gateway):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    gateway.apply(
        {
            "services": [{"name": "a", "targets": [f"http://127.0.0.1:{port}"]}],
            "routes": [{"name": "r", "service": "a"}],
        }
    )
    reply = gateway.connect().send(GET % b"/").reply()
    assert (reply.status, json.loads(reply.body)["code"]) == (502, "upstream-connect-failed")


def test_unresolvable_name(gateway):
    gateway.apply(
        {
            "services": [{"name": "a", "targets": ["http://nowhere.invalid:80"]}],
            "routes": [{"name": "r", "service": "a"}],
        }
    )
    reply = gateway.connect().send(GET % b"/").reply()
    assert (reply.status, json.loads(reply.body)["code"]) == (502, "upstream-name-unresolved")


def test_unix_socket_target(gateway, tmp_path):
    path = tmp_path / "up.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        gateway.apply(
            {"services": [{"name": "a", "targets": [f"unix:{path}"]}], "routes": [{"name": "r", "service": "a"}]}
        )
        client = gateway.connect().send(GET % b"/")
        peer, _ = server.accept()
        assert peer.recv(1000).startswith(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert client.reply().status == 200
        peer.close()


def test_no_route(proxy):
    gateway, _ = proxy(match={"hosts": ["other.test"]})
    reply = gateway.connect().send(GET % b"/").reply()
    assert (reply.status, json.loads(reply.body)["code"]) == (404, "route-not-found")


def test_http10(proxy):
    gateway, _ = proxy()
    client = gateway.connect().send(b"GET / HTTP/1.0\r\n\r\n")
    reply = client.reply()
    assert (reply.body, reply["connection"]) == (b"ok", "close")
    assert client.is_closed()
    client = gateway.connect().send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.reply()["connection"] == "keep-alive"
    assert client.send(b"GET / HTTP/1.0\r\n\r\n").reply().status == 200


def test_http10_gets_unknown_lengths_until_close(proxy):
    def handler(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(0.05)
        peer.send(b"0\r\n\r\n")
        peer.wait_closed()

    gateway, _ = proxy(handler)
    reply = gateway.connect().send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").reply()
    assert reply.body == b"hello"
    assert reply.get("transfer-encoding") is None


def test_early_answer_to_a_large_body_is_seen(proxy):
    def handler(peer):
        peer.head()
        peer.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
        peer.wait_closed()

    gateway, _ = proxy(handler)
    client = gateway.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
    client.send(b"x" * 100_000)
    reply = client.reply()
    assert (reply.status, reply["connection"]) == (413, "close")
    assert client.is_closed()


def test_body_limit(proxy):
    gateway, upstream = proxy(limits={"body_bytes": 10})
    assert gateway.connect().send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n").reply().status == 413
    client = gateway.connect().send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n"
    )
    assert client.reply().status == 413
    fine = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"
    assert gateway.connect().send(fine).reply().status == 200


def test_upgrade_is_ignored_and_never_forwarded(proxy):
    gateway, upstream = proxy()
    client = gateway.connect()
    client.send(
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\n\r\n"
    )
    assert client.reply().status == 200
    assert b"upgrade" not in upstream.seen.lower()
    assert b"http2" not in upstream.seen.lower()


def test_balancing_and_weights(gateway, upstreams):
    first, second = upstreams(), upstreams()
    gateway.apply(
        {
            "services": [{"name": "a", "targets": [{"url": first.url, "weight": 3}, second.url]}],
            "routes": [{"name": "r", "service": "a"}],
        }
    )
    client = gateway.connect()
    for _ in range(8):
        assert client.send(GET % b"/").reply().status == 200
    assert (first.seen.count(b"GET / "), second.seen.count(b"GET / ")) == (6, 2)


def test_pool_limit_and_queue(proxy):
    release = threading.Event()

    def handler(peer):
        while True:
            peer.request()
            release.wait(10)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    gateway, upstream = proxy(handler, service={"pool": {"max_connections": 1, "max_pending": 1}})
    first, second, third = (gateway.connect() for _ in range(3))
    first.send(GET % b"/1")
    assert wait_for(lambda: b"/1" in upstream.seen)
    second.send(GET % b"/2")
    assert wait_for(lambda: gateway.server.traffic.active == 2)
    refused = third.send(GET % b"/3").reply()
    assert (refused.status, json.loads(refused.body)["code"], refused["retry-after"]) == (
        503,
        "upstream-overloaded",
        "1",
    )
    release.set()
    assert (first.reply().status, second.reply().status) == (200, 200)
    assert len(upstream.received) == 1


@pytest.mark.parametrize("phase", ["before-answer", "in-body", "in-queue", "while-sending"])
def test_client_leaving_cancels_the_upstream(proxy, phase):
    closed = threading.Event()

    def handler(peer):
        peer.head()
        if phase == "in-body":
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        if phase == "while-sending":
            time.sleep(0.3)
        peer.wait_closed()
        closed.set()

    gateway, upstream = proxy(handler, service={"pool": {"max_connections": 1}})
    client = gateway.connect()
    if phase == "while-sending":
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        client.sock.setblocking(False)
        sent = 0
        try:
            while True:
                sent += client.sock.send(b"x" * 65536)
                time.sleep(0.001)
        except BlockingIOError:
            pass
        client.sock.setblocking(True)
    else:
        client.send(GET % b"/1")
        assert wait_for(lambda: b"/1" in upstream.seen)
    if phase == "in-queue":
        other = gateway.connect().send(GET % b"/2")
        assert wait_for(lambda: gateway.server.traffic.active == 2)
        other.close()
        assert wait_for(lambda: gateway.server.traffic.active == 1)
        assert b"/2" not in upstream.seen
    if phase == "in-body":
        client.read_until(b"hi")
    left = time.monotonic()
    client.close()
    assert wait_for(lambda: gateway.server.traffic.active == 0)
    assert closed.wait(5)
    assert time.monotonic() - left < (0.1 if phase != "while-sending" else 1.0) + 0.2


def test_stalled_reader_stops_the_reading_of_its_upstream(proxy):
    sent = [0]
    done = threading.Event()

    def handler(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        peer.sock.settimeout(0.5)
        try:
            while True:
                sent[0] += peer.sock.send(b"x" * 65536)
        except TimeoutError:
            done.set()
        peer.sock.settimeout(20)
        block = b"x" * 65536
        while sent[0] < 100_000_000:
            sent[0] += peer.sock.send(block[: 100_000_000 - sent[0]])

    gateway, _ = proxy(handler)
    client = gateway.connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.send(GET % b"/")
    assert done.wait(20)
    assert sent[0] < 30_000_000  # what the two kernels buffer; the gateway holds next to nothing
    client.read_until(b"\r\n\r\n")
    total = len(client.buffer)
    while total < 100_000_000:
        total += len(client.sock.recv(1 << 20))
    assert total == 100_000_000


def test_stalled_upstream_stops_the_reading_of_its_client(proxy):
    release = threading.Event()

    def handler(peer):
        peer.head()
        release.wait(20)
        body = len(peer.buffer)
        while body < 100_000_000:
            body += len(peer.sock.recv(1 << 20))
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    gateway, _ = proxy(handler)
    client = gateway.connect()
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
    client.sock.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while True:
            sent += client.sock.send(b"x" * 65536)
    assert sent < 30_000_000
    release.set()
    client.sock.settimeout(20)
    block = b"x" * 65536
    while sent < 100_000_000:
        sent += client.sock.send(block[: 100_000_000 - sent])
    assert client.reply().status == 200
