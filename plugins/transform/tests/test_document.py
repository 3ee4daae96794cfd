"""JSON documents and their rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright_sdk import ClientAddress, Exchange, Request
from gatewright_transform.config import Body
from gatewright_transform.document import DocumentRules, InvalidJson, parse, serialise


def changed(text: str, **rules: Any) -> str | None:
    exchange = Exchange(Request("GET", "/a"), ClientAddress("198.51.100.7"))
    done = DocumentRules(Body.model_validate(rules)).apply(text, exchange)
    return None if done is None else done.decode()


ITEMS = '{"items":[{"id":1,"x":{"p":1}},{"id":2},{"x":5}],"n":1.10}'


@pytest.mark.parametrize(
    ("text", "rules", "expected"),
    [
        (ITEMS, {"remove": ["$.items[*].id"]}, '{"items":[{"x":{"p":1}},{},{"x":5}],"n":1.10}'),
        (ITEMS, {"remove": ["$.items[0,2]"]}, '{"items":[{"id":2}],"n":1.10}'),
        (ITEMS, {"remove": ["$.items[*]"]}, '{"items":[],"n":1.10}'),
        (ITEMS, {"remove": ["$..x", "$..p"]}, '{"items":[{"id":1},{"id":2},{}],"n":1.10}'),
        (ITEMS, {"remove": ["$..*"]}, "{}"),
        (ITEMS, {"remove": ["$.items[?@.id>1]"]}, '{"items":[{"id":1,"x":{"p":1}},{"x":5}],"n":1.10}'),
        (ITEMS, {"remove": ["$.none"]}, None),
        (ITEMS, {"rename": {"$.items[*].id": "key"}}, '{"items":[{"key":1,"x":{"p":1}},{"key":2},{"x":5}],"n":1.10}'),
        ('{"a":1,"b":2}', {"rename": {"$.a": "b"}}, '{"b":1}'),
        ('{"a":1,"b":2}', {"rename": {"$.a": "a"}}, None),
        ("[1,2]", {"rename": {"$[0]": "a"}}, None),
        ('{"a":1,"b":2}', {"replace": {"$.a": {"c": [None]}, "$.z": 1}}, '{"a":{"c":[null]},"b":2}'),
        ('{"a":[1,2]}', {"replace": {"$.a[*]": "{request.path}"}}, '{"a":["/a","/a"]}'),
        ('{"a":1}', {"replace": {"$": []}}, "[]"),
        ("5", {"replace": {"$": 6}}, "6"),
        ("5", {"remove": ["$.a"]}, None),
        ('{"m":{}}', {"add": {"$.m.s": "gw", "$['t u']": 1}}, '{"m":{"s":"gw"},"t u":1}'),
        ('{"m":{"s":1}}', {"add": {"$.m.s": 2}}, None),
        ('{"l":[{"a":1},{},3]}', {"add": {"$.l[*].a": 2}}, '{"l":[{"a":1},{"a":2},3]}'),
        ('{"l":[1],"m":{}}', {"append": {"$.l": 2, "$.m": 3}}, '{"l":[1,2],"m":{}}'),
        ('{"l":[[1],[2]]}', {"append": {"$.l[*]": {"a": "{{}}"}}}, '{"l":[[1,{"a":"{{}}"}],[2,{"a":"{{}}"}]]}'),
        (ITEMS, {"allow": ["$.items[*].id"]}, '{"items":[{"id":1},{"id":2}]}'),
        (ITEMS, {"allow": ["$.items[0]", "$.n"]}, '{"items":[{"id":1,"x":{"p":1}}],"n":1.10}'),
        (ITEMS, {"allow": ["$"]}, None),
        (ITEMS, {"allow": ["$.none"]}, "{}"),
        ('{"a":1,"b":2}', {"allow": ["$.a"], "add": {"$.c": 3}}, '{"a":1,"c":3}'),
    ],
)  # fmt: skip
def test_rules(text: str, rules: dict[str, Any], expected: str | None) -> None:
    assert changed(text, **rules) == expected


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567890123", "1.10", "1e400", "-0", "-0.0", "1E+2", '"é😀\\u0000\\"\\\\"', "[]", "{}", "null",
        '{"b":1,"a":2}', '"\\ud800"', "true",
    ],
)  # fmt: skip
def test_what_is_not_touched_keeps_its_text(text: str) -> None:
    assert changed(f'{{"x":{text},"gone":1}}', remove=["$.gone"]) == f'{{"x":{text}}}'


@pytest.mark.parametrize("text", ["", "{", "nope", "{'a':1}", "NaN", "[Infinity]", "[1,]", "[" * 100_000, "1" * 5000])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(InvalidJson):
        changed(text, remove=["$.a"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_a_round_trip_changes_nothing(value: Any) -> None:
    text = json.dumps(value, separators=(",", ":"))
    assert json.loads(serialise(parse(text))) == value


@given(VALUES, st.sampled_from(["$..*", "$.a", "$[0]", "$[*]", "$..a", "$[-1]", "$[?@.a]", "$"]))
def test_no_document_breaks_the_rules(value: Any, path: str) -> None:
    text = json.dumps(value)
    for rules in ({"remove": [path]}, {"rename": {path: "n"}}, {"replace": {path: 1}}, {"append": {path: 1}},
                  {"allow": [path]}):  # fmt: skip
        if path == "$" and ("remove" in rules or "rename" in rules):
            continue
        done = changed(text, **rules)
        assert done is None or json.loads(done) is not Ellipsis
