"""Opens event streams, reads them, and tells on each line of input how many events have come.

    python stream_sink.py PORT STREAMS

A process of its own, and nice: what takes times on the same core then need not wait for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import uvloop
from stream_client import EventReader, open_stream

NICENESS = 10


async def read_streams(port: int, streams: int) -> None:
    readers = [(await open_stream(port))[0] for _ in range(streams)]
    tell(readers)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        tell(readers)


def tell(readers: list[EventReader]) -> None:
    failures = [reader.failure for reader in readers if reader.failure]
    print(json.dumps({"events": sum(reader.events for reader in readers), "failures": failures}), flush=True)


if __name__ == "__main__":
    os.nice(NICENESS)
    uvloop.run(read_streams(int(sys.argv[1]), int(sys.argv[2])))
