"""What survives a restart, and what a lost or damaged file does."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from eip_agent.remember.memory import Words, next_incarnation, replace_file
from eip_agent.remember.sight import Word

if TYPE_CHECKING:
    from pathlib import Path


NOW = 1_800_000_000


def test_the_incarnation_grows_with_each_start(tmp_path: Path) -> None:
    (tmp_path / "incarnation").write_text(str(NOW + 200))
    warnings: list[str] = []
    assert next_incarnation(str(tmp_path), NOW, warnings.append) == NOW + 201
    assert next_incarnation(str(tmp_path), NOW, warnings.append) == NOW + 202
    assert not warnings


def test_a_counter_from_a_restored_disk_does_not_take_it_back(tmp_path: Path) -> None:
    (tmp_path / "incarnation").write_text(str(NOW - 86_400))
    warnings: list[str] = []
    assert next_incarnation(str(tmp_path), NOW, warnings.append) == NOW
    assert not warnings


def test_a_counter_that_a_wrong_clock_chose_is_not_continued(tmp_path: Path) -> None:
    (tmp_path / "incarnation").write_text(str(NOW + 86_400))
    warnings: list[str] = []
    assert next_incarnation(str(tmp_path), NOW, warnings.append) == NOW + 1
    assert next_incarnation(str(tmp_path), NOW, warnings.append) == NOW + 2
    (said,) = warnings
    assert "is damaged" in said


def test_a_counter_that_cannot_be_written_is_the_clock(tmp_path: Path) -> None:
    warnings: list[str] = []
    assert next_incarnation(str(tmp_path / "absent"), NOW, warnings.append) == NOW + 1
    (said,) = warnings
    assert "cannot be written" in said


def test_a_file_is_replaced_from_many_threads_at_once(tmp_path: Path) -> None:
    path, failed = str(tmp_path / "x"), []

    def replace(number: int) -> None:
        try:
            for _ in range(100):
                replace_file(path, str(number))
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=replace, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_damaged_or_lost_counter_never_goes_back(tmp_path: Path) -> None:
    warnings: list[str] = []
    for text in ("", "x", "-3", "9" * 30):
        (tmp_path / "incarnation").write_text(text)
        assert next_incarnation(str(tmp_path), NOW, warnings.append) == NOW + 1
    assert len(warnings) == 4
    (tmp_path / "incarnation").unlink()
    assert next_incarnation(str(tmp_path), NOW, warnings.append) == NOW + 1


def test_words_survive_but_a_waiting_start_has_to_be_said_again(tmp_path: Path) -> None:
    words = Words(str(tmp_path))
    granted = Word("started", 5.0, (1, 2), 7, "203.0.113.7", "t1")
    words.save({"eip": granted, "web": Word("starting", 5.0), "old": Word("stopped", 5.0)})
    loaded = words.load(99.0)
    assert loaded == {
        "eip": Word("started", 99.0, term=7, public_ip="203.0.113.7", table_id="t1"),
        "old": Word("stopped", 99.0),
    }
    older = {"eip": {"state": "started", "term": 7, "public_ip": "203.0.113.7"}}
    (tmp_path / "words.json").write_text(json.dumps(older))
    assert words.load(99.0) == {"eip": Word("started", 99.0, term=7, public_ip="203.0.113.7")}
    (tmp_path / "words.json").write_text("{")
    assert words.load(99.0) == {}


@pytest.mark.parametrize("kind", ["released", "failed"])
def test_a_note_is_read_once(tmp_path: Path, kind: str) -> None:
    (tmp_path / f"{kind}.eip").touch()
    words = Words(str(tmp_path))
    others = {"released": "failed", "failed": "released"}
    assert words.take_notes(others[kind], ("eip", "web")) == []
    assert words.take_notes(kind, ("eip", "web")) == ["eip"]
    assert words.take_notes(kind, ("eip", "web")) == []
