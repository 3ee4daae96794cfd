"""A small shop to stand behind the gateway: JSON, an event stream, and something slow."""

from __future__ import annotations

import asyncio
import json

ORDER = {
    "id": 7,
    "items": [{"sku": "tea", "price": 4.50, "cost": 1.20}, {"sku": "cup", "price": 9.00, "cost": 3.10}],
}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest if each)}
            await reader.readexactly(int(headers.get("content-length", 0)))
            await respond(writer, line.split(" ")[1].partition("?")[0], headers)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def respond(writer: asyncio.StreamWriter, path: str, headers: dict[str, str]) -> None:
    if path == "/events":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            event = f"data: {json.dumps({'tick': number})}\n\n".encode()
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.5)
        writer.write(b"0\r\n\r\n")
        return
    if path == "/slow":
        await asyncio.sleep(10)
    status, document = "200 OK", {"path": path, "you_sent": headers}
    if path.startswith("/orders/"):
        document = {**ORDER, "id": path.removeprefix("/orders/")}
    elif path not in ("/hello", "/slow") and not path.startswith("/beta"):
        status, document = "404 Not Found", {"error": f"the shop has no {path}"}
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\nServer: shop/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 9000)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
