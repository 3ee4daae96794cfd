"""The harness obeys the contract of the hooks, for plain and coroutine functions alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gatewright_sdk import (
    BodyTooLarge,
    ClientAddress,
    ClientError,
    ConnectFailed,
    EndOfBody,
    Exchange,
    Filter,
    GatewayError,
    HookError,
    Identity,
    Overloaded,
    Plugin,
    PluginConfig,
    PluginContext,
    Request,
    Response,
    Retry,
    ServerSentEvent,
)
from gatewright_sdk.testing import FakeUpstream, Harness

Make = Callable[..., Filter[PluginConfig]]


@pytest.fixture(params=["plain", "coroutine"])
def make(request: pytest.FixtureRequest) -> Make:
    """``make(on_request=..., on_failure="open")``: a filter of these functions, which leave out ``self``."""

    def make(**members: Any) -> Filter[PluginConfig]:
        made: dict[str, Any] = {}
        for name, member in members.items():
            made[name] = wrap(member) if callable(member) else member
        return type("Made", (Filter,), made)(PluginConfig())

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def plain(self: object, *arguments: Any) -> Any:
            return function(*arguments)

        async def coroutine(self: object, *arguments: Any) -> Any:
            await asyncio.sleep(0)
            return function(*arguments)

        return plain if request.param == "plain" else coroutine

    return make


def send(harness: Harness, request: Request | None = None, **arguments: Any) -> Exchange:
    return asyncio.run(harness.send(request, **arguments))


def fails(*_: Any) -> Any:
    raise RuntimeError("a bug")


def response_of(exchange: Exchange) -> Response:
    assert exchange.response is not None
    return exchange.response


# -- order ------------------------------------------------------------------------------------------


def test_request_hooks_in_order_and_the_others_in_reverse(make: Make) -> None:
    seen: list[str] = []

    def named(name: str) -> Filter[PluginConfig]:
        return make(
            on_request=lambda exchange: seen.append(f"request {name}"),
            on_response=lambda exchange: seen.append(f"response {name}"),
            on_error=lambda exchange, error: seen.append(f"error {name}"),
            on_complete=lambda exchange: seen.append(f"complete {name}"),
        )

    send(Harness(named("a"), named("b"), upstream=FakeUpstream(ConnectFailed())))
    assert seen == [
        "request a", "request b", "error b", "error a", "response b", "response a", "complete a", "complete b",
    ]  # fmt: skip


def test_an_answer_ends_the_request_but_not_the_response(make: Make) -> None:
    seen: list[str] = []
    first = make(on_response=lambda exchange: seen.append("response first"))
    second = make(on_request=lambda exchange: Response.text(418, "teapot"))
    third = make(
        on_request=lambda exchange: seen.append("request third"),
        on_response=lambda exchange: seen.append("response third"),
        on_error=lambda exchange, error: seen.append("error third"),
    )
    harness = Harness(first, second, third)
    exchange = send(harness)
    assert response_of(exchange).status == 418
    assert response_of(exchange).is_local
    assert seen == ["response third", "response first"]
    assert harness.upstream.requests == []
    assert (exchange.attempts, exchange.error) == (0, None)


def test_a_response_hook_may_replace_the_response(make: Make) -> None:
    outer = make(on_response=lambda exchange: exchange.response.headers.set("X-Status", str(exchange.response.status)))
    inner = make(on_response=lambda exchange: Response.text(410, "gone"))
    exchange = send(Harness(outer, inner))
    assert (response_of(exchange).status, response_of(exchange).body) == (410, b"gone")
    assert response_of(exchange).headers["x-status"] == "410"


def test_only_the_hooks_that_an_instance_names_are_called(make: Make) -> None:
    filter = make(on_request=fails, on_complete=lambda exchange: None)
    filter.hooks = lambda: ("on_complete",)  # type: ignore[method-assign]
    harness = Harness(filter)
    assert response_of(send(harness)).status == 200
    assert harness.failures == []


# -- what hooks see ---------------------------------------------------------------------------------


def test_the_exchange_is_filled_in(make: Make) -> None:
    harness = Harness(upstream=FakeUpstream(Response(200, body=b"hello")), route="vod")
    identity = Identity("alice")
    exchange = send(harness, Request("POST", body=b"abc"), client="192.0.2.7", identity=identity, params={"id": "7"})
    assert (exchange.route.name, exchange.service) == ("vod", "service")
    assert (exchange.client.ip, exchange.client.peer) == ("192.0.2.7", "192.0.2.7")
    assert (exchange.identity, exchange.params["id"]) == (identity, "7")
    assert (exchange.attempts, exchange.bytes_in, exchange.bytes_out) == (1, 3, 5)
    assert exchange.completed_at == harness.clock.monotonic()


def test_a_client_address_may_be_given_whole() -> None:
    client = ClientAddress("192.0.2.7", peer="10.0.0.1", is_trusted=True)
    assert send(Harness(), client=client).client is client


def test_headers_of_a_request_that_is_not_given() -> None:
    assert send(Harness(), headers={"Accept": "text/html"}).request.headers["accept"] == "text/html"


# -- failures ---------------------------------------------------------------------------------------

PHASES = ["on_request", "on_request_chunk", "on_response"]


@pytest.mark.parametrize("hook", PHASES)
def test_a_hook_that_raises_becomes_a_problem(make: Make, hook: str) -> None:
    outer = make(on_response=lambda exchange: exchange.response.headers.set("X-Outer", "1"))
    harness = Harness(outer, make(**{hook: fails}))
    exchange = send(harness, Request("POST", body=b"x"))
    response = response_of(exchange)
    assert response.status == 500
    assert json.loads(response.body or b"")["code"] == "plugin-error"
    assert b"a bug" not in (response.body or b"")
    assert response.headers["x-outer"] == "1", "the response hooks that are still to come run"
    assert isinstance(exchange.error, HookError)
    assert exchange.error.hook == hook
    assert harness.failures == [exchange.error]


@pytest.mark.parametrize("hook", PHASES)
def test_an_open_filter_is_passed_over(make: Make, hook: str) -> None:
    harness = Harness(make(**{hook: fails}, on_failure="open"), upstream=FakeUpstream(Response(200, body=b"hello")))
    exchange = send(harness, Request("POST", body=b"x"))
    assert (response_of(exchange).status, response_of(exchange).body) == (200, b"hello")
    assert harness.upstream.bodies == [b"x"]
    assert exchange.error is None
    assert {failure.hook for failure in harness.failures} == {hook}


@pytest.mark.parametrize("on_failure", ["open", "closed"])
@pytest.mark.parametrize("hook", PHASES)
def test_an_error_of_the_contract_is_an_answer_and_no_failure(make: Make, hook: str, on_failure: str) -> None:
    def refuses(*_: Any) -> None:
        raise ClientError("Not you.", status=403, code="not-you")

    harness = Harness(make(**{hook: refuses}, on_failure=on_failure))
    exchange = send(harness, Request("POST", body=b"x"))
    assert response_of(exchange).status == 403
    assert json.loads(response_of(exchange).body or b"")["code"] == "not-you"
    assert harness.failures == []


@pytest.mark.parametrize("hook", ["on_request", "on_response"])
def test_what_no_hook_may_return_is_a_failure(make: Make, hook: str) -> None:
    harness = Harness(make(**{hook: lambda exchange: "a response"}))
    assert response_of(send(harness)).status == 500
    assert "returned str" in str(harness.failures[0])


@pytest.mark.parametrize("on_failure", ["open", "closed"])
def test_a_response_chunk_hook_that_raises_cuts_the_response_off(make: Make, on_failure: str) -> None:
    def second(exchange: Exchange, chunk: bytes) -> None:
        if chunk == b"b":
            fails()

    harness = Harness(
        make(on_response_chunk=second, on_failure=on_failure), upstream=FakeUpstream(chunks=[b"a", b"b", b"c"])
    )
    exchange = send(harness)
    assert response_of(exchange).status == 200, "the head is out"
    assert exchange.is_aborted is (on_failure == "closed")
    assert harness.sent == ([b"a"] if on_failure == "closed" else [b"a", b"b", b"c"])


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ClientError("Late.")], ids=["bug", "gateway error"])
def test_what_observers_raise_changes_nothing(make: Make, error: Exception) -> None:
    def raises(*_: Any) -> None:
        raise error

    seen: list[Exchange] = []
    observers = (make(on_complete=raises, on_error=raises), make(on_complete=seen.append))
    harness = Harness(*observers, upstream=FakeUpstream(Overloaded()))
    exchange = send(harness)
    assert response_of(exchange).status == 503
    assert seen == [exchange]
    assert [failure.hook for failure in harness.failures] == ["on_error", "on_complete"]


# -- errors and retries -----------------------------------------------------------------------------


def test_an_upstream_error_is_a_problem_unless_a_hook_answers(make: Make) -> None:
    upstream = FakeUpstream(Overloaded("Full.", retry_after=3))
    plain = send(Harness(upstream=upstream))
    assert (response_of(plain).status, response_of(plain).headers["retry-after"]) == (503, "3")
    assert plain.error is response_of(plain).error
    errors: list[GatewayError] = []
    outer = make(on_error=lambda exchange, error: Response.text(200, "outer"))
    inner = make(on_error=lambda exchange, error: errors.append(error))
    answered = send(Harness(outer, inner, upstream=upstream))
    assert response_of(answered).body == b"outer"
    assert errors == [answered.error]


def test_retry_sends_the_request_again_without_its_request_hooks(make: Make) -> None:
    seen: list[str] = []
    filter = make(on_request=lambda exchange: seen.append("request"), on_error=lambda exchange, error: Retry(after=0.5))
    harness = Harness(filter, upstream=FakeUpstream([ConnectFailed(), ConnectFailed(), Response(200, body=b"ok")]))
    started = harness.clock.monotonic()
    exchange = send(harness, Request("PUT"), chunks=[b"a", b"b"])
    assert (response_of(exchange).body, exchange.attempts, seen) == (b"ok", 3, ["request"])
    assert harness.clock.monotonic() == started + 1.0
    assert harness.upstream.bodies == [b"ab"] * 3


def test_retries_end(make: Make) -> None:
    harness = Harness(make(on_error=lambda exchange, error: Retry()), upstream=FakeUpstream(ConnectFailed()))
    exchange = send(harness)
    assert response_of(exchange).status == 502
    assert 1 < exchange.attempts < 20


def test_a_refused_request_is_never_sent_by_a_retry(make: Make) -> None:
    def refuses(exchange: Exchange) -> None:
        raise ClientError(status=401, code="no-token")

    retries, guards = make(on_error=lambda exchange, error: Retry()), make(on_request=refuses)
    harness = Harness(retries, guards)
    assert response_of(send(harness)).status == 401
    assert harness.upstream.requests == []


def test_a_retry_that_is_not_possible_is_as_none(make: Make) -> None:
    fallback = make(on_error=lambda exchange, error: Response.text(200, "fallback"))
    streams = make(on_request_chunk=lambda exchange, chunk: None, on_error=lambda exchange, error: Retry())
    harness = Harness(fallback, streams, upstream=FakeUpstream(ConnectFailed()))
    exchange = send(harness, Request("POST"), chunks=[b"a"])
    assert (response_of(exchange).body, exchange.attempts) == (b"fallback", 1)


# -- bodies -----------------------------------------------------------------------------------------

CHUNK_CASES: list[tuple[str, Callable[[Exchange, bytes], Any], list[bytes]]] = [
    ("passes", lambda exchange, chunk: None, [b"ab", b"cd", b"ef"]),
    ("changes", lambda exchange, chunk: chunk.upper(), [b"AB", b"CD", b"EF"]),
    ("drops", lambda exchange, chunk: b"" if chunk == b"cd" else None, [b"ab", b"ef"]),
    ("drops all", lambda exchange, chunk: b"", []),
    ("splits", lambda exchange, chunk: [chunk[:1], chunk[1:]], [b"a", b"b", b"c", b"d", b"e", b"f"]),
    ("splits lazily", lambda exchange, chunk: (bytes([byte]) for byte in chunk), [b"a", b"b", b"c", b"d", b"e", b"f"]),
    ("flushes", lambda exchange, chunk: b"!" if isinstance(chunk, EndOfBody) else None, [b"ab", b"cd", b"ef", b"!"]),
    ("ends", lambda exchange, chunk: EndOfBody(b"!") if chunk == b"cd" else None, [b"ab", b"!"]),
    ("ends silently", lambda exchange, chunk: EndOfBody() if chunk == b"cd" else None, [b"ab"]),
    ("ends in a split", lambda exchange, chunk: [chunk, EndOfBody(b"!")], [b"ab", b"!"]),
]


@pytest.mark.parametrize(
    ("hook", "expected"), [case[1:] for case in CHUNK_CASES], ids=[case[0] for case in CHUNK_CASES]
)
@pytest.mark.parametrize("direction", ["request", "response"])
def test_chunk_hooks(make: Make, direction: str, hook: Callable[..., Any], expected: list[bytes]) -> None:
    chunks = [b"ab", b"cd", b"ef"]
    if direction == "request":
        harness = Harness(make(on_request_chunk=hook))
        send(harness, Request("POST"), chunks=chunks)
        assert harness.upstream.bodies == [b"".join(expected)]
    else:
        harness = Harness(make(on_response_chunk=hook), upstream=FakeUpstream(chunks=chunks))
        exchange = send(harness)
        assert harness.sent == expected
        assert response_of(exchange).body == b"".join(expected)
        assert exchange.bytes_out == len(b"".join(expected))


def test_every_stage_sees_the_end_once_and_as_empty(make: Make) -> None:
    seen: dict[str, list[bytes]] = {"first": [], "second": []}

    def first(exchange: Exchange, chunk: bytes) -> Any:
        seen["first"].append(chunk)
        return EndOfBody(b"last") if chunk == b"b" else None

    def second(exchange: Exchange, chunk: bytes) -> None:
        seen["second"].append(chunk)

    # Response hooks run in reverse, so the one that is attached last is first.
    filters = make(on_response_chunk=second), make(on_response_chunk=first)
    harness = Harness(*filters, upstream=FakeUpstream(chunks=[b"a", b"b", b"c"]))
    send(harness)
    assert harness.sent == [b"a", b"last"]
    assert seen == {"first": [b"a", b"b"], "second": [b"a", b"last", b""]}
    assert [isinstance(chunk, EndOfBody) for chunk in seen["second"]] == [False, False, True]


def test_a_body_that_is_there_whole_is_one_chunk(make: Make) -> None:
    seen: list[bytes] = []
    harness = Harness(
        make(on_request=lambda exchange: Response.text(200, "hello")),
        make(on_response_chunk=lambda exchange, chunk: seen.append(chunk)),
    )
    send(harness)
    assert seen == [b"hello", EndOfBody()]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 205), ("GET", 304)], ids=lambda value: str(value)
)
def test_messages_without_a_body(make: Make, method: str, status: int) -> None:
    seen: list[bytes] = []
    harness = Harness(
        make(on_response_chunk=lambda exchange, chunk: seen.append(chunk)),
        upstream=FakeUpstream(Response(status, body=b"hello")),
    )
    exchange = send(harness, Request(method))
    assert (harness.sent, response_of(exchange).body, exchange.bytes_out, seen) == ([], b"", 0, [])


def test_a_request_body_streams_until_somebody_reads_it() -> None:
    seen: list[bytes | None] = []

    class Reads(Filter[PluginConfig]):
        async def on_request(self, exchange: Exchange) -> None:
            seen.append(exchange.request.body)
            seen.append(await exchange.request.read(100))
            exchange.request.body = b"changed"

    harness = Harness(Reads(PluginConfig()))
    exchange = send(harness, Request("POST", body=b"body"))
    assert seen == [None, b"body"]
    assert harness.upstream.bodies == [b"changed"]
    assert exchange.request.content_length == 4


@pytest.mark.parametrize(("limit", "status"), [(4, 413), (5, 200)])
@pytest.mark.parametrize("request_", [Request("POST", body=b"12345"), Request("POST")], ids=["declared", "chunked"])
def test_reading_a_request_has_a_limit(request_: Request, limit: int, status: int) -> None:
    class Reads(Filter[PluginConfig]):
        async def on_request(self, exchange: Exchange) -> None:
            await exchange.request.read(limit)

    harness = Harness(Reads(PluginConfig()))
    exchange = send(harness, request_, chunks=[b"12", b"345"])
    assert response_of(exchange).status == status
    assert len(harness.upstream.requests) == (status == 200)


@pytest.mark.parametrize(("limit", "status"), [(4, 502), (5, 200)])
def test_reading_a_response_has_a_limit(limit: int, status: int) -> None:
    class Reads(Filter[PluginConfig]):
        async def on_response(self, exchange: Exchange) -> None:
            assert exchange.response is not None
            assert exchange.response.body is None
            exchange.response.body = (await exchange.response.read(limit)).upper()

    harness = Harness(Reads(PluginConfig()), upstream=FakeUpstream(chunks=[b"ab", b"cde"]))
    exchange = send(harness)
    assert response_of(exchange).status == status
    if status == 200:
        assert harness.sent == [b"ABCDE"]
    else:
        assert isinstance(exchange.error, BodyTooLarge)


# -- events -----------------------------------------------------------------------------------------

STREAM = [b"data: a\n\nda", b"ta: b\n\n", b": ping\n\ndata: c"]
EVENT_CASES: list[tuple[str, Callable[..., Any], bytes]] = [
    ("passes", lambda exchange, event: None, b"data: a\n\ndata: b\n\n: ping\n\n"),
    ("drops", lambda exchange, event: [] if event.data == "a" else None, b"data: b\n\n: ping\n\n"),
    (
        "changes",
        lambda exchange, event: ServerSentEvent((event.data or "-").upper()),
        b"data: A\n\ndata: B\n\ndata: -\n\n",
    ),
    (
        "splits",
        lambda exchange, event: [event, ServerSentEvent("+")] if event.data else None,
        b"data: a\n\ndata: +\n\ndata: b\n\ndata: +\n\n: ping\n\n",
    ),
]


@pytest.mark.parametrize(
    ("hook", "expected"), [case[1:] for case in EVENT_CASES], ids=[case[0] for case in EVENT_CASES]
)
@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
def test_event_hooks(make: Make, content_type: str, hook: Callable[..., Any], expected: bytes) -> None:
    upstream = FakeUpstream(Response(200, {"Content-Type": content_type}), chunks=STREAM)
    exchange = send(Harness(make(on_response_event=hook), upstream=upstream))
    assert response_of(exchange).body == expected


def test_event_hooks_leave_other_responses_alone(make: Make) -> None:
    harness = Harness(make(on_response_event=fails), upstream=FakeUpstream(chunks=STREAM))
    assert response_of(send(harness)).body == b"".join(STREAM)


def test_chunk_and_event_hooks_stand_in_one_order(make: Make) -> None:
    upstream = FakeUpstream(Response(200, {"Content-Type": "text/event-stream"}), chunks=[b"data: a\n", b"\n"])
    outer = make(on_response_chunk=lambda exchange, chunk: chunk.replace(b"A", b"outer") if chunk else None)
    events = make(on_response_event=lambda exchange, event: ServerSentEvent((event.data or "").upper()))
    inner = make(on_response_chunk=lambda exchange, chunk: chunk.replace(b"a:", b"a: x") if chunk else None)
    assert response_of(send(Harness(outer, events, inner, upstream=upstream))).body == b"data: X outer\n\n"


# -- the parts of the kit ---------------------------------------------------------------------------


def test_an_upstream_keeps_what_it_got_and_copies_what_it_gives(make: Make) -> None:
    answer = Response(200, {"A": "1"}, b"x")
    upstream = FakeUpstream(answer)
    harness = Harness(make(on_response=lambda exchange: exchange.response.headers.set("A", "2")), upstream=upstream)
    request = Request("POST", "/p", body=b"body")
    exchange = send(harness, request)
    assert upstream.requests == [request]
    assert upstream.bodies == [b"body"]
    assert (response_of(exchange).headers["a"], answer.headers["a"]) == ("2", "1")
    assert not response_of(exchange).is_local


def test_an_upstream_may_answer_by_a_function() -> None:
    upstream = FakeUpstream(lambda request: Response.text(200, request.path))
    assert response_of(send(Harness(upstream=upstream), Request(path="/echo"))).body == b"/echo"


def test_an_upstream_that_has_no_answer_left_says_so() -> None:
    harness = Harness(upstream=FakeUpstream([Response(200)]))
    send(harness)
    with pytest.raises(AssertionError, match="no answer left for request 2"):
        send(harness)


class Settings(PluginConfig):
    word: str = "default"


class Lives(Filter[Settings]):
    """Keeps its context, to show the life of a filter."""

    def __init__(self, config: Settings) -> None:
        super().__init__(config)
        self.life: list[str] = []

    async def start(self, context: PluginContext) -> None:
        self.life.append(f"start {context.monotonic()}")

    def stop(self) -> None:
        self.life.append("stop")


def test_a_harness_is_made_of_a_plugin_and_starts_and_stops_it() -> None:
    async def run() -> list[str]:
        async with Harness.of(Plugin("lives", filter=Lives), {"word": "given"}) as harness:
            (filter,) = harness.filters
            assert filter.config == Settings(word="given")
            await harness.send()
        return list(filter.life)  # type: ignore[attr-defined]

    assert asyncio.run(run()) == ["start 1000.0", "stop"]


def test_a_plugin_without_a_filter_has_no_harness() -> None:
    with pytest.raises(ValueError, match="'none' has no filter"):
        Harness.of(Plugin("none"))
