"""Headers against a list of pairs, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright_sdk import Headers

Pairs = list[tuple[str, str]]

NAMES = st.sampled_from(["A", "a", "Accept", "ACCEPT", "X-Y", "x-y", "Vary"])
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, blacklist_characters="\x7f"), max_size=6).filter(
    lambda text: not any(0x7F <= ord(char) <= 0x9F for char in text)
)


def same(name: str) -> Callable[[tuple[str, str]], bool]:
    return lambda pair: pair[0].lower() == name.lower()


def model_set(model: Pairs, name: str, value: str) -> None:
    places = [index for index, pair in enumerate(model) if same(name)(pair)]
    if not places:
        model.append((name, value))
        return
    model[places[0]] = (name, value)
    for index in reversed(places[1:]):
        del model[index]


def model_add(model: Pairs, name: str, value: str) -> None:
    model.append((name, value))


def model_setdefault(model: Pairs, name: str, value: str) -> None:
    if not any(map(same(name), model)):
        model.append((name, value))


def model_remove(model: Pairs, name: str, value: str) -> None:
    model[:] = [pair for pair in model if not same(name)(pair)]


def model_rename(model: Pairs, name: str, value: str) -> None:
    model[:] = [("X-New", pair[1]) if same(name)(pair) else pair for pair in model]


OPERATIONS: dict[str, tuple[Callable[[Headers, str, str], object], Callable[[Pairs, str, str], None]]] = {
    "set": (Headers.set, model_set),
    "set by bytes": (lambda headers, name, value: headers.set(name.encode(), value.encode("latin-1")), model_set),
    "setitem": (Headers.__setitem__, model_set),
    "add": (Headers.add, model_add),
    "setdefault": (Headers.setdefault, model_setdefault),
    "remove": (lambda headers, name, value: headers.remove(name), model_remove),
    "remove by bytes": (lambda headers, name, value: headers.remove(name.encode()), model_remove),
    "rename": (lambda headers, name, value: headers.rename(name, "X-New"), model_rename),
}


@settings(max_examples=150)
@given(
    start=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    steps=st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), NAMES, VALUES), max_size=8),
)
def test_headers_are_an_ordered_list_of_pairs(start: Pairs, steps: list[tuple[str, str, str]]) -> None:
    headers, model = Headers(start), list(start)
    for operation, name, value in steps:
        act, expect = OPERATIONS[operation]
        act(headers, name, value)
        expect(model, name, value)
        assert list(headers.items()) == model
    for name in ("a", "accept", "X-Y", "vary", "x-new"):
        values = [value for given_name, value in model if given_name.lower() == name.lower()]
        assert headers.get_all(name) == values
        assert headers.get(name) == (values[0] if values else None)
        assert headers.get_bytes(name.lower().encode()) == (values[0].encode("latin-1") if values else None)
        assert (name in headers) is bool(values)
    assert list(headers) == [name for name, _ in model]
    assert len(headers) == len(model)


BAD_VALUES = ["a\r\nb", "a\rb", "a\nb", "a\x00b", "\x00", "\n", "a\x1fb", "a\x7fb", "smile \N{SLIGHTLY SMILING FACE}"]
BAD_NAMES = ["", " ", "a b", "a:", "a\r\n", "a\x00", "ä", "a(b)", "\N{KELVIN SIGN}"]


WAYS_TO_GIVE_A_VALUE: dict[str, Callable[[Headers, str], object]] = {
    "init": lambda headers, value: Headers([("B", value)]),
    "set": lambda headers, value: headers.set("B", value),
    "add": lambda headers, value: headers.add("B", value),
    "setdefault": lambda headers, value: headers.setdefault("B", value),
    "setitem": lambda headers, value: headers.__setitem__("B", value),
    "bytes": lambda headers, value: headers.set("B", value.encode() if value.isascii() else value),
}
WAYS_TO_GIVE_A_NAME: dict[str, Callable[[Headers, str], object]] = {
    "init": lambda headers, name: Headers({name: "x"}),
    "set": lambda headers, name: headers.set(name, "x"),
    "add": lambda headers, name: headers.add(name, "x"),
    "rename": lambda headers, name: headers.rename("a", name),
}


@pytest.mark.parametrize("value", BAD_VALUES)
@pytest.mark.parametrize("way", WAYS_TO_GIVE_A_VALUE)
def test_a_value_that_could_leave_its_line_is_refused(way: str, value: str) -> None:
    headers = Headers([("A", "1")])
    with pytest.raises(ValueError, match="header value"):
        WAYS_TO_GIVE_A_VALUE[way](headers, value)
    assert list(headers.items()) == [("A", "1")]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("way", WAYS_TO_GIVE_A_NAME)
def test_a_name_that_is_no_token_is_refused(way: str, name: str) -> None:
    headers = Headers([("A", "1")])
    with pytest.raises(ValueError, match="header name"):
        WAYS_TO_GIVE_A_NAME[way](headers, name)
    assert list(headers.items()) == [("A", "1")]


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    assert Headers([("A", " \tx y\t ")])["a"] == "x y"


@pytest.mark.parametrize("value", [b"x \t", b"x"])
def test_white_space_that_a_codec_left_behind_a_value_is_not_seen(value: bytes) -> None:
    headers = Headers.from_raw([(b"A", value)])
    assert headers.get("a") == headers["a"] == "x"
    assert headers.get_all("a") == ["x"]
    assert list(headers.items()) == [("A", "x")]
    assert headers == Headers([("a", "x")])


def test_a_last_byte_that_only_unicode_calls_white_space_is_kept() -> None:
    # UTF-8 for à ends in A0, which ISO 8859-1 calls a no-break space.
    headers = Headers.from_raw([(b"A", "à".encode())])
    assert headers.get("a") == headers.get_all("a")[0] == next(headers.items())[1] == "à".encode().decode("latin-1")


def test_names_are_compared_as_ascii() -> None:
    headers = Headers([("K", "1")])
    assert "k" in headers
    assert "\N{KELVIN SIGN}" not in headers


@pytest.mark.parametrize(
    ("lines", "members"),
    [
        ([], []),
        (["a, b"], ["a", "b"]),
        (["a,,b ,", " ,c"], ["a", "b", "c"]),
        (["", ","], []),
    ],
)
def test_get_list_joins_all_lines(lines: list[str], members: list[str]) -> None:
    assert Headers([("X", line) for line in lines]).get_list("x") == members


@pytest.mark.parametrize(
    ("before", "names", "after"),
    [
        ([], ["Origin"], ["Origin"]),
        (["Accept-Encoding"], ["Origin"], ["Accept-Encoding, Origin"]),
        (["origin"], ["Origin"], ["origin"]),
        (["A", "B"], ["C"], ["A, B, C"]),
        (["*"], ["Origin"], ["*"]),
        (["A, *"], ["Origin"], ["A, *"]),
        (["A"], ["a", "B", "C"], ["A, B, C"]),
        (["A"], [], ["A"]),
    ],
)
def test_add_vary(before: list[str], names: list[str], after: list[str]) -> None:
    headers = Headers([("Vary", line) for line in before])
    headers.add_vary(*names)
    assert headers.get_all("vary") == after


def test_a_copy_is_independent() -> None:
    headers = Headers([("A", "1")])
    copy = headers.copy()
    copy.set("A", "2")
    assert (headers["a"], copy["a"]) == ("1", "2")


def test_equality_takes_names_without_case_and_minds_order() -> None:
    assert Headers([("A", "1"), ("b", "2")]) == Headers([("a", "1"), ("B", "2")])
    assert Headers([("A", "1"), ("B", "2")]) != Headers([("B", "2"), ("A", "1")])
    assert Headers([("A", "x")]) != Headers([("A", "X")])
    assert Headers() != []


def test_what_is_absent() -> None:
    headers = Headers()
    assert headers.get("a") is None
    assert headers.get("a", "x") == "x"
    assert not headers.remove("a")
    assert not headers.rename("a", "b")
    assert 5 not in headers
    with pytest.raises(KeyError):
        headers["a"]
    with pytest.raises(KeyError):
        del headers["a"]


def test_removal_and_renaming_say_whether_there_was_one() -> None:
    headers = Headers([("A", "1"), ("a", "2")])
    assert headers.rename("A", "B")
    assert headers.get_all("b") == ["1", "2"]
    del headers["b"]
    assert len(headers) == 0
