"""The story as a person reads it: in order, with labels that are whole words."""

from __future__ import annotations

import threading
import time
from unittest.mock import MagicMock

import pytest

from lab.timeline import HOLD_SECONDS, Happening, Timeline


@pytest.fixture
def timeline() -> Timeline:
    return Timeline(MagicMock(), MagicMock())


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_lines_are_in_the_order_of_time_even_if_one_is_known_later(
    timeline: Timeline, capsys: pytest.CaptureFixture[str]
) -> None:
    began = timeline.scene("a scene")
    timeline.add(Happening(began + 0.30, "move", "n2", "second"))
    # A function's lines come when it ends, after what it did.
    timeline.add(Happening(began + 0.20, "grant", "", "first", "R070", 2))
    timeline.finish()
    assert [line.split()[-1] for line in printed(capsys)] == ["scene", "first", "second"]


def test_labels_are_whole_words_in_one_column(
    timeline: Timeline, capsys: pytest.CaptureFixture[str]
) -> None:
    began = timeline.scene("a scene")
    for kind in ("suspicion", "release", "client"):
        timeline.add(Happening(began, kind, "n1", "TEXT"))
    timeline.add(Happening(began, "grant", "n1", "TEXT", "R070", 2))
    timeline.finish()
    lines = printed(capsys)[1:]
    assert [line.split()[2] for line in lines] == ["suspicion", "release", "client", "R070"]
    assert len({line.index("TEXT") for line in lines}) == 1


def test_a_line_is_not_kept_until_something_else_happens(
    timeline: Timeline, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = threading.Event()
    watching = threading.Thread(target=timeline.watch_client, args=(lambda: "n1", ended))
    watching.start()
    time.sleep(HOLD_SECONDS + 1)
    ended.set()
    watching.join()
    (line,) = printed(capsys)
    assert line.endswith("client     a client of the address is answered by n1")
