"""The upstream of memory.py: bodies of any size, out of nothing and into nothing.

``GET /bytes?size=N`` answers N bytes; ``POST /bytes`` reads a body and answers how many bytes it had;
``POST /stalled`` reads no byte of its body.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import socketserver
import sys
import threading

BLOCK = memoryview(bytes(256 * 1024))
_SIZE = re.compile(rb"GET /bytes\?size=(\d{1,15}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,15})\r\n", re.IGNORECASE)


class Handler(socketserver.BaseRequestHandler):
    request: socket.socket
    server: Server

    def handle(self) -> None:
        rest = b""
        while (read := self.read_head(rest)) is not None:
            head, rest = read
            if sized := _SIZE.match(head):
                self.send(int(sized[1]))
            elif head.startswith(b"POST /stalled "):
                self.server.stopping.wait()
                return
            else:
                length = _LENGTH.search(head)
                received = self.receive(int(length[1]) if length else 0, len(rest))
                rest = b""
                self.answer(b'{"received":%d}' % received)

    def read_head(self, read: bytes) -> tuple[bytes, bytes] | None:
        while b"\r\n\r\n" not in read:
            data = self.request.recv(65536)
            if not data:
                return None
            read += data
        head, _, rest = read.partition(b"\r\n\r\n")
        return head + b"\r\n", rest

    def send(self, size: int) -> None:
        self.request.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % size
        )
        while size > 0:
            self.request.sendall(BLOCK[:size])
            size -= len(BLOCK)

    def receive(self, length: int, received: int) -> int:
        buffer = bytearray(len(BLOCK))
        while received < length:
            count = self.request.recv_into(buffer, min(len(buffer), length - received))
            if not count:
                break
            received += count
        return received

    def answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.request.sendall(head % len(body) + body)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    stopping = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no fault here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=18900)
    with Server(("127.0.0.1", parser.parse_args().port), Handler) as server:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server.serve_forever()


if __name__ == "__main__":
    main()
