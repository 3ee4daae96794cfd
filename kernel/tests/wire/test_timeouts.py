"""Every timeout, named in what the client gets. Each is short here; none of the tests times anything."""

from __future__ import annotations

import json
import socket
import threading

import pytest

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def silent(peer):
    peer.head()
    peer.wait_closed()


def drip(peer):
    peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    peer.wait_closed()


def event_drip(peer):
    peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
    peer.wait_closed()


@pytest.mark.parametrize("name", ["first_byte", "total"])
def test_before_the_answer(proxy, name):
    gateway, _ = proxy(silent, timeouts={name: 0.1})
    reply = gateway.connect().send(GET).reply()
    problem = json.loads(reply.body)
    assert (reply.status, problem["timeout"], problem["code"]) == (
        504,
        name,
        f"upstream-{name.replace('_', '-')}-timeout",
    )


@pytest.mark.parametrize(
    ("handler", "timeouts"),
    [
        (drip, {"between_bytes": 0.1}),
        (drip, {"total": 0.1}),
        (event_drip, {"idle_stream": 0.1, "between_bytes": 0}),
    ],
)
def test_in_the_body_cuts_the_response_off(proxy, handler, timeouts):
    gateway, _ = proxy(handler, timeouts=timeouts)
    client = gateway.connect().send(GET)
    with pytest.raises((EOFError, ConnectionResetError)):
        client.reply()


def test_event_streams_have_no_between_bytes(proxy):
    release = threading.Event()

    def handler(peer):
        peer.head()
        peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
        )
        release.wait(0.4)
        peer.send(b"0\r\n\r\n")
        peer.wait_closed()

    gateway, _ = proxy(handler, timeouts={"between_bytes": 0.1})
    assert gateway.connect().send(GET).reply().body == b"hi"


def test_connect(gateway):
    # A backlog of 0 that is full: further SYNs are not answered.
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        blockers = [socket.socket() for _ in range(4)]
        for blocker in blockers:
            blocker.setblocking(False)
            blocker.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        gateway.apply(
            {
                "services": [{"name": "a", "targets": [url], "timeouts": {"connect": 0.2}}],
                "routes": [{"name": "r", "service": "a"}],
            }
        )
        reply = gateway.connect().send(GET).reply()
        assert (reply.status, json.loads(reply.body)["timeout"]) == (504, "connect")
        for blocker in blockers:
            blocker.close()


def test_tls(proxy):
    gateway, upstream = proxy(lambda peer: peer.wait_closed())
    port = upstream.url.rpartition(":")[2]
    gateway.apply(
        {
            "services": [{"name": "a", "targets": [f"https://127.0.0.1:{port}"]}],
            "routes": [{"name": "r", "service": "a", "timeouts": {"tls": 0.1}}],
        }
    )
    reply = gateway.connect().send(GET).reply()
    assert (reply.status, json.loads(reply.body)["timeout"]) == (504, "tls")


def test_client_head(proxy):
    gateway, _ = proxy(listener={"timeouts": {"head": 0.1}})
    client = gateway.connect().send(b"GET / HT")
    reply = client.reply()
    assert (reply.status, json.loads(reply.body)["timeout"]) == (408, "client_head")
    assert client.is_closed()


def test_client_head_dripped_byte_by_byte(proxy):
    gateway, _ = proxy(listener={"timeouts": {"head": 0.3}})
    client = gateway.connect()
    statuses = []

    def read():
        statuses.append(client.reply().status)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for index in range(200):
            client.send(GET[:-2][index % 20 : index % 20 + 1] if index < 3 else b"")
            if statuses:
                break
            reader.join(0.02)
    except OSError:
        pass
    reader.join(5)
    assert statuses == [408]


def test_client_body(proxy):
    gateway, _ = proxy(silent, listener={"timeouts": {"body": 0.1}})
    client = gateway.connect().send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    reply = client.reply()
    assert (reply.status, json.loads(reply.body)["timeout"]) == (408, "client_body")
    assert client.is_closed()


def test_keep_alive(proxy):
    gateway, _ = proxy(listener={"timeouts": {"keep_alive": 0.1}})
    client = gateway.connect().send(GET)
    assert client.reply().status == 200
    assert client.is_closed()
    assert gateway.connect().is_closed()  # that never sent anything


def test_client_that_does_not_read(proxy):
    gone = threading.Event()

    def handler(peer):
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                peer.send(b"x" * 65536)
        except OSError:
            gone.set()

    gateway, _ = proxy(handler, timeouts={"idle_stream": 0.2})
    client = gateway.connect()
    client.send(GET)
    assert gone.wait(10)
