"""Paths in one spelling: tables of cases, and what must hold of every path."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.config.models import Paths
from gatewright.routing.path import PathNormaliser, encode_path
from gatewright_sdk import ClientError

DEFAULT = Paths()

NORMALISED = [
    # nothing to do
    (b"/", "/", ""),
    (b"/a", "/a", ""),
    (b"/a/", "/a/", ""),
    (b"/a/b.json?x=1&y=%20", "/a/b.json", "x=1&y=%20"),
    (b"/a...b/...", "/a...b/...", ""),
    (b"/.well-known/x", "/.well-known/x", ""),
    (b"/..a/.b./c..", "/..a/.b./c..", ""),
    (b"/a;v=1,2/@me:x!$&'()*+=~_-", "/a;v=1,2/@me:x!$&'()*+=~_-", ""),
    (b"*", "*", ""),
    # the query is not the path's business
    (b"/a?", "/a", ""),
    (b"/?a", "/", "a"),
    (b"/a?b?c=/../x//y", "/a", "b?c=/../x//y"),
    (b"/a?%zz=%&[]|{}^`\\", "/a", "%zz=%&[]|{}^`\\"),
    (b'/a?"<>\xe9', "/a", "%22%3C%3E%E9"),
    # percent-encodings (RFC 3986 section 6.2.2)
    (b"/%61%4D%39%2d%2E%5f%7ex", "/aM9-._~x", ""),
    (b"/caf%c3%a9", "/caf%C3%A9", ""),
    (b"/a%20b%3f%23%25%3b%3a", "/a%20b%3F%23%25%3B%3A", ""),
    (b"/%252e%252e/x", "/%252e%252e/x", ""),
    (b"/a%2fb%5Cc", "/a%2Fb%5Cc", ""),
    # what browsers send as it is
    (b'/a|b^c{d}e[f]g"h<i>j`k', "/a%7Cb%5Ec%7Bd%7De%5Bf%5Dg%22h%3Ci%3Ej%60k", ""),
    (b"/caf\xc3\xa9\xff", "/caf%C3%A9%FF", ""),
    (b"/a\\b", "/a%5Cb", ""),
    # dot segments (RFC 3986 section 5.2.4)
    (b"/a/b/c/./../../g", "/a/g", ""),
    (b"/a/..", "/", ""),
    (b"/a/.", "/a/", ""),
    (b"/a/b/..", "/a/", ""),
    (b"/.", "/", ""),
    (b"/..", "/", ""),
    (b"/../../a", "/a", ""),
    (b"/./a/./b", "/a/b", ""),
    (b"/a/%2e%2E/b/.%2e/c/%2e/d", "/c/d", ""),
    # slashes
    (b"//a///b//", "/a/b/", ""),
    (b"/a//../b", "/b", ""),
    (b"//", "/", ""),
    (b"//example.com/x", "/example.com/x", ""),
]

REFUSED = [
    b"", b"?x", b"a/b", b"*x", b"*?x", b"http://h/", b"example.com:443",
    b"/a%", b"/a%2", b"/a%zz", b"/a%%41", b"/a%u0041", b"/%",
    b"/a%00", b"/a%0a", b"/a%0D%0Ab", b"/a%1f", b"/a%7F", b"/a\x00", b"/a\nb", b"/a\x7f", b"/a\tb", b"/a b",
    b"/a#b", b"/a?b#c", b"/a?b c", b"/a?\x00", b"/a?b\r\nc", b"/a?\x7f",
    b"/a/..%2fb", b"/a/..%5cb", b"/a/..\\b", b"/a%2f..", b"/a%2f../b", b"/a%2f..%2fb", b"/a%5c%2e%2e/b", b"/a/.%2fb",
    b"/a/..;/b", b"/a/..;x=1/b", b"/a/.;/b", b"/a/%2e%2e;/b",
]  # fmt: skip


@pytest.mark.parametrize(("target", "path", "query"), NORMALISED)
def test_normalises(target: bytes, path: str, query: str) -> None:
    assert PathNormaliser(DEFAULT)(target) == (path, query)


@pytest.mark.parametrize("target", REFUSED)
def test_refuses(target: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        PathNormaliser(DEFAULT)(target)
    assert (caught.value.status, caught.value.code) == (400, "bad-path")


SETTINGS = [
    ({"dot_segments": "reject"}, b"/a/../b", None),
    ({"dot_segments": "reject"}, b"/a/%2e/b", None),
    ({"dot_segments": "reject"}, b"/a/.", None),
    ({"dot_segments": "reject"}, b"/a/..%2Fb", None),
    ({"dot_segments": "reject"}, b"/a/.b/..c", "/a/.b/..c"),
    ({"dot_segments": "keep"}, b"/a/../%2e/b", "/a/.././b"),
    ({"dot_segments": "keep"}, b"/a/..%2fb/..;/c", "/a/..%2Fb/..;/c"),
    ({"merge_slashes": False}, b"//a//b/", "//a//b/"),
    ({"merge_slashes": False}, b"/a//../b", "/a/b"),
    ({"merge_slashes": False}, b"/a/..//b", "//b"),
    ({"encoded_slashes": "reject"}, b"/a%2fb", None),
    ({"encoded_slashes": "reject"}, b"/a%5Cb", None),
    ({"encoded_slashes": "reject"}, b"/a\\b", None),
    ({"encoded_slashes": "reject"}, b"/a%252fb", "/a%252fb"),
    ({"encoded_slashes": "decode"}, b"/a%2fb%5Cc\\d", "/a/b/c/d"),
    ({"encoded_slashes": "decode"}, b"/a/..%2fb", "/b"),
    ({"encoded_slashes": "decode"}, b"/a%2f%2fb%5c..", "/a/"),
    ({"encoded_slashes": "decode", "dot_segments": "reject"}, b"/a/..%2fb", None),
    ({"encoded_slashes": "decode", "merge_slashes": False}, b"/a%2f/b", "/a//b"),
]


@pytest.mark.parametrize(("settings", "target", "path"), SETTINGS)
def test_settings(settings: dict[str, object], target: bytes, path: str | None) -> None:
    normalise = PathNormaliser(Paths.model_validate(settings))
    if path is None:
        with pytest.raises(ClientError):
            normalise(target)
    else:
        assert normalise(target) == (path, "")


any_settings = st.builds(
    Paths,
    dot_segments=st.sampled_from(["resolve", "reject", "keep"]),
    merge_slashes=st.booleans(),
    encoded_slashes=st.sampled_from(["keep", "reject", "decode"]),
)
pieces = st.sampled_from(
    [
        b"/", b"//", b".", b"..", b"%2e", b"%2E", b"%2f", b"%5c", b"\\", b"%25", b";", b"a", b"%61", b"%c3%a9",
        b"|", b"?", b"%",
    ]
)  # fmt: skip
any_target = st.one_of(
    st.lists(pieces, max_size=12).map(lambda found: b"/" + b"".join(found)),
    st.binary(max_size=30).map(lambda found: b"/" + found),
)

IN_GRAMMAR = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})*)+")


@given(settings=any_settings, target=any_target)
def test_what_comes_out_is_in_order(settings: Paths, target: bytes) -> None:
    normalise = PathNormaliser(settings)
    try:
        path, query = normalise(target)
    except ClientError:
        return
    assert IN_GRAMMAR.fullmatch(path)
    assert re.fullmatch(r"[!-~]*", query)
    assert "#" not in query
    again = path.encode() + (b"?" + query.encode() if query else b"")
    assert normalise(again) == (path, query), "normalising twice changes nothing"
    if settings.dot_segments != "keep":
        assert not {".", ".."} & set(re.split(r"/|%2F|%5C", path))
    if settings.merge_slashes:
        assert "//" not in path
    if settings.encoded_slashes != "keep":
        assert "%2F" not in path
        assert "%5C" not in path
    assert not re.search(r"%(?:[01][0-9A-F]|7F|2[DE]|3\d|[46][1-9A-F]|[57][0-9A]|5F|7E)", path), "unreserved or control"


@given(segments=st.lists(st.sampled_from([b"a", b"b", b".", b"..", b"...", b""]), min_size=1, max_size=8))
def test_dot_segments_go_as_rfc_3986_says(segments: list[bytes]) -> None:
    """Against the algorithm of section 5.2.4, written down as it stands there."""
    path = b"/" + b"/".join(segments)
    assert PathNormaliser(Paths(merge_slashes=False))(path) == (remove_dot_segments(path.decode()), "")


def remove_dot_segments(buffer: str) -> str:
    output = ""
    while buffer:
        if buffer.startswith("/./") or buffer == "/.":
            buffer = "/" + buffer[3:]
        elif buffer.startswith("/../") or buffer == "/..":
            buffer = "/" + buffer[4:]
            output = output[: output.rfind("/")] if "/" in output else ""
        else:
            end = buffer.find("/", 1)
            end = len(buffer) if end < 0 else end
            output, buffer = output + buffer[:end], buffer[end:]
    return output


@pytest.mark.parametrize("piece", [b"/a", b"/.", b"/..", b"//", b"/%2e%2e", b"%2fa", b"/a;", b".", b"/|"])
def test_a_long_path_is_read_once(piece: bytes) -> None:
    before = time.process_time()
    path, _ = PathNormaliser(DEFAULT)(b"/" + piece * 50_000 + b"|")
    assert path.endswith("%7C")
    assert time.process_time() - before < 2, "in proportion this takes a tenth of a second, in squares minutes"


@pytest.mark.parametrize(
    ("text", "encoded"), [("/café/%7e|", "/caf%C3%A9/~%7C"), ("/a\\b%2f", "/a%5Cb%2F"), ("/plain", "/plain"), ("", "")]
)
def test_encode_path(text: str, encoded: str) -> None:
    assert encode_path(text) == encoded


@pytest.mark.parametrize("text", ["/a b", "/a%", "/%zz", "/a?b", "/a#b", "/a\x00", "/%00"])
def test_encode_path_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="no path may hold"):
        encode_path(text)
