"""The writer: whole lines, nothing lost without a word, nothing that blocks."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from gatewright_access_log.writer import Writer
from gatewright_sdk import PluginError


def test_lines_come_out_whole_and_in_order(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "log"), 100_000)
    for number in range(50_000):
        writer.put(f'{{"n":{number}}}')
    writer.close()
    assert [json.loads(line)["n"] for line in (tmp_path / "log").read_text().splitlines()] == list(range(50_000))
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640


def test_a_full_queue_drops_and_says_so(tmp_path: Path) -> None:
    writer = Writer(str(tmp_path / "log"), 3)
    # The thread may take lines in between, so that more than three get through; none goes missing uncounted.
    for _ in range(1000):
        writer.put("{}")
    writer.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    dropped = sum(line.get("dropped", 0) for line in lines)
    assert dropped > 0
    assert sum("dropped" not in line for line in lines) + dropped == 1000


def test_a_rotated_file_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright_access_log.writer.REOPEN_SECONDS", 0.0)
    path = tmp_path / "log"
    writer = Writer(str(path), 10)
    writer.put("one")
    writer.flush()
    path.rename(tmp_path / "log.1")
    writer.put("two")
    writer.close()
    assert (tmp_path / "log.1").read_text() == "one\n"
    assert path.read_text() == "two\n"


def _write_many(path: str, letter: str) -> None:
    writer = Writer(path, 100_000)
    for _ in range(20_000):
        writer.put(letter * 200)
    writer.close()


def test_several_processes_share_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_many, args=(path, letter)) for letter in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lines = Path(path).read_text().splitlines()
    assert len(lines) == 40_000
    assert set(lines) == {"a" * 200, "b" * 200}


def test_a_pipe_that_is_closed_does_not_end_the_writer(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer = Writer(str(fifo), 10)
    os.close(reader)
    writer.put("lost")
    writer.flush()
    assert writer.dropped == 1
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    writer.put("kept")
    writer.close()
    written = os.read(reader, 1000)
    assert b"kept\n" in written
    assert b'"dropped": 1' in written
    os.close(reader)


@pytest.mark.parametrize(("name", "advice"), [("no/such/log", "make its folder first"), (".", "check its permissions")])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(PluginError, match=advice):
        Writer(str(tmp_path / name), 10)
