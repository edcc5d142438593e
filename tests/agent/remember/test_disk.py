"""A disk that hangs, is full or cannot be read holds nothing up and loses no answer."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent.conclude.test_view import ME, status
from agent.fakes import PEER, FakeNode, wait_until
from agent.followup.followed import operations_of, quiet
from eip_agent.answer.server import LocalServer
from eip_agent.followup.clean_up import CleanUp
from eip_agent.remember.board import Board
from eip_agent.remember.memory import Words, next_incarnation, read_json
from eip_agent.remember.sight import Word

if TYPE_CHECKING:
    from collections.abc import Iterator


class Disk:
    """A state folder on a disk that hangs until it is let go."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = str(folder / "state/failed-starts.json")
        (folder / "state").mkdir()
        (folder / "run").mkdir()
        self.hangs, self.goes_on = threading.Event(), threading.Event()
        fsync = os.fsync

        def slow(file: int) -> None:
            if "/state/" in str(Path(f"/proc/self/fd/{file}").readlink()):
                self.hangs.set()
                self.goes_on.wait(20)
            fsync(file)

        monkeypatch.setattr("eip_agent.remember.memory.os.fsync", slow)
        self.clean_up = CleanUp(self.path, lambda _: "", quiet, 0.0)
        self.board = Board("n1", ME, Words(str(folder / "run")), quiet)
        self.operations = operations_of(self.board, self.clean_up)

    def save_in_background(self) -> threading.Thread:
        thread = threading.Thread(target=self.clean_up.save, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(tmp_path, monkeypatch)
    yield made
    made.goes_on.set()


def test_whoever_asks_is_answered_while_the_disk_hangs(disk: Disk) -> None:
    disk.clean_up.note("other", 0.0)
    disk.save_in_background()
    assert disk.hangs.wait(5)
    answers: list[Any] = []

    def ask() -> None:
        start = {"op": "start", "resource": "eip", "timeout_ms": 100}
        answers.append(disk.operations.handle(start, lambda: True)["outcome"])
        disk.board.set_word("eip", Word("started", time.monotonic(), term=1))
        lost = status(PEER)
        disk.board.know(status=lost, status_at=time.monotonic() + 5.0)
        monitor = {"op": "monitor", "resource": "eip"}
        answers.append(disk.operations.handle(monitor, lambda: True)["outcome"])

    threading.Thread(target=ask, daemon=True).start()
    wait_until(lambda: len(answers) == 2, "both are answered", 5.0)
    assert answers == ["refused", "lost"]
    assert disk.clean_up.resources == ["eip", "other"]
    assert not disk.goes_on.is_set()


def test_what_was_owed_last_is_what_the_disk_has_in_the_end(disk: Disk) -> None:
    disk.clean_up.note("eip", 0.0)
    first = disk.save_in_background()
    assert disk.hangs.wait(5)
    disk.clean_up.note("vip", 0.0)
    disk.goes_on.set()
    first.join(5)
    assert not first.is_alive()
    disk.clean_up.save()
    assert sorted(read_json(disk.path)) == ["eip", "vip"]


def test_a_handler_that_fails_is_answered_and_said_once(tmp_path: Path) -> None:
    said: list[tuple[str, Any]] = []

    def fails(*_: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = str(tmp_path / "s")
    LocalServer(path, fails, lambda text, **more: said.append((text, more["reason"]))).start()
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(5)
        channel.connect(path)
        channel.sendall(b'{"op":"monitor"}\n')
        answer = json.loads(channel.recv(4096))
    reason = "OSError: [Errno 28] No space left on device"
    assert answer == {"outcome": "error", "reason": reason}
    assert said == [("A request could not be answered", reason)]


def test_a_word_that_cannot_be_kept_counts_all_the_same() -> None:
    said: list[str] = []
    board = Board("n1", ME, Words("/nowhere"), lambda text, **_: said.append(text))
    board.set_word("eip", Word("stopped", 1.0))
    assert board.sight().words["eip"].state == "stopped"
    assert said == ["The resource agent's word could not be kept"]


def test_a_counter_that_cannot_be_read_goes_on_from_the_clock(tmp_path: Path) -> None:
    (tmp_path / "incarnation").mkdir()
    warnings: list[str] = []
    epoch = int(time.time())
    assert next_incarnation(str(tmp_path), epoch, warnings.append) == epoch + 1
    assert len(warnings) == 2


def test_an_agent_starts_though_its_state_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    node = FakeNode(tmp_path)
    try:
        node.write_config(state_dir=tmp_path / "file/state")
        node.start()
        assert node.act("start").returncode == 0
    finally:
        node.close()
