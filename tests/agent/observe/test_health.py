"""Local health: what makes a node red, what makes it green again, and what Pacemaker is told."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent.fakes import FakeNode, wait_until
from eip_agent.observe.health import Health, Judged, answers, connects, succeeds
from eip_agent.settings import Settings


@pytest.mark.parametrize(
    ("outcomes", "red"),
    [
        ("bb", False),
        ("bbb", True),
        ("bbgbb", False),
        ("bbbg", True),
        ("bbbgg", False),
        ("bbbgbg", True),
        ("bbbggbb", False),
    ],
)
def test_only_outcomes_in_a_row_change_a_judgement(outcomes: str, red: bool) -> None:
    judged = Judged(3, 2, red=False)
    changes = [judged.take(good=letter == "g") for letter in outcomes]
    assert judged.red is red
    assert sum(changes) % 2 == int(red)


class Pacemaker:
    """A folder with programs that stand in for Pacemaker's and systemd's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[dict[str, Any]] = []
        self.write(
            "attrd_updater",
            f'echo "$@" >> {folder}/calls; [ ! -e {folder}/known ] || cat {folder}/known',
        )
        self.write("systemctl", f"[ -e {folder}/up ] || exit 3")
        (folder / "up").touch()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / name).chmod(0o755)

    def calls(self) -> list[str]:
        """What attrd_updater was asked for since the last question."""
        path = self.folder / "calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return calls

    def health(self, **changes: Any) -> Health:
        settings = Settings(
            attrd_updater=str(self.folder / "attrd_updater"),
            systemctl=str(self.folder / "systemctl"),
            health_failures=2,
            health_successes=2,
            **changes,
        )
        return Health(settings, lambda _sentence, **fields: self.said.append(fields))


@pytest.fixture
def pacemaker(tmp_path: Path) -> Pacemaker:
    return Pacemaker(tmp_path)


QUERY = "--name #health-eip-agent --query"
SET_RED, SET_GREEN = (
    f"--name #health-eip-agent --update {value} --delay 0" for value in ("red", "green")
)


def test_a_failing_unit_makes_the_node_red_and_a_working_one_green_again(
    pacemaker: Pacemaker,
) -> None:
    health = pacemaker.health(health_units=("web.service",))
    assert health.step() == 5.0
    assert pacemaker.calls() == [QUERY, SET_GREEN]
    (pacemaker.folder / "up").unlink()
    health.step()
    assert (pacemaker.calls(), health.failing) == ([], [])
    health.step()
    assert (pacemaker.calls(), health.failing) == ([SET_RED], ["unit web.service"])
    (pacemaker.folder / "up").touch()
    health.step()
    assert pacemaker.calls() == []
    health.step()
    assert pacemaker.calls() == [SET_GREEN]
    assert pacemaker.said == [
        {"check": "unit web.service", "is_well": False},
        {"check": "unit web.service", "is_well": True},
    ]


@pytest.mark.parametrize(
    "systemctl",
    ["echo Failed to connect to bus >&2; exit 1", "exec sleep 5", "kill -9 $$", None],
    ids=["no bus", "hangs", "dies", "is not there"],
)
def test_what_could_not_be_asked_is_no_bad_health(
    pacemaker: Pacemaker, systemctl: str | None
) -> None:
    health = pacemaker.health(health_units=("web.service",), health_timeout_seconds=0.1)
    if systemctl is None:
        (pacemaker.folder / "systemctl").unlink()
    else:
        pacemaker.write("systemctl", systemctl)
    for _ in range(4):
        health.step()
    assert health.failing == []
    assert pacemaker.said == [{"check": "unit web.service"}], "it says so, once"
    pacemaker.write("systemctl", "exit 4")
    health.step()
    health.step()
    assert health.failing == ["unit web.service"]


def test_the_unit_is_asked_for_by_its_name_alone(pacemaker: Pacemaker) -> None:
    pacemaker.write("systemctl", f'echo "$@" > {pacemaker.folder}/asked')
    pacemaker.health(health_units=("web.service",)).step()
    asked = (pacemaker.folder / "asked").read_text()
    assert asked == "is-active --quiet -- web.service\n"


def test_a_restarted_agent_goes_on_from_red(pacemaker: Pacemaker) -> None:
    (pacemaker.folder / "known").write_text('name="#health-eip-agent" host="n1" value="red"\n')
    health = pacemaker.health(health_units=("web.service",))
    health.step()
    assert pacemaker.calls() == [QUERY, SET_RED]
    health.step()
    assert pacemaker.calls() == [SET_GREEN]


@pytest.mark.parametrize(("known", "deleted"), [("red", True), ("green", True), ("", False)])
def test_without_checks_an_earlier_agents_word_is_taken_back(
    pacemaker: Pacemaker, known: str, deleted: bool
) -> None:
    text = f'name="#health-eip-agent" host="n1" value="{known}"\n'
    (pacemaker.folder / "known").write_text(text)
    health = pacemaker.health()
    health.step()
    health.step()
    assert pacemaker.calls() == [QUERY] + ["--name #health-eip-agent --delete"] * deleted


@pytest.mark.parametrize("status", [1, 102, 124])
def test_a_node_is_not_called_well_before_pacemaker_said_what_it_was(
    pacemaker: Pacemaker, status: int
) -> None:
    pacemaker.write("attrd_updater", f'echo "$@" >> {pacemaker.folder}/calls; exit {status}')
    health = pacemaker.health(health_units=("web.service",))
    health.step()
    health.step()
    assert pacemaker.calls() == [QUERY, QUERY]
    assert len(pacemaker.said) == 1
    pacemaker.write("attrd_updater", f'echo "$@" >> {pacemaker.folder}/calls; echo \'value="red"\'')
    health.step()
    assert pacemaker.calls() == [QUERY, "--name #health-eip-agent --update red --delay 0"]


@pytest.mark.parametrize(
    "answer",
    ["exit 105", "echo 'Could not query value of x: attribute does not exist' >&2; exit 78"],
)
def test_pacemaker_is_told_again_when_it_did_not_listen(pacemaker: Pacemaker, answer: str) -> None:
    no_value = f'case "$*" in *--query) {answer};; esac'
    pacemaker.write("attrd_updater", f'echo "$@" >> {pacemaker.folder}/calls; {no_value}; exit 1')
    health = pacemaker.health(health_units=("web.service",))
    health.step()
    health.step()
    assert pacemaker.calls() == [QUERY, SET_GREEN, SET_GREEN]


def test_pacemaker_is_told_again_after_a_while(
    pacemaker: Pacemaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = pacemaker.health(health_units=("web.service",))
    now = time.monotonic()
    health.step()
    health.step()
    assert pacemaker.calls() == [QUERY, SET_GREEN]
    monkeypatch.setattr("eip_agent.observe.health.time.monotonic", lambda: now + 61.0)
    health.step()
    assert pacemaker.calls() == [SET_GREEN]


@pytest.fixture
def port() -> Iterator[tuple[int, list[bytes]]]:
    """A server that sends the list's parts, then nothing more, and keeps the connection."""
    parts: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    kept = []

    def serve() -> None:
        while True:
            try:
                channel, _ = listener.accept()
            except OSError:
                return
            kept.append(channel)
            with contextlib.suppress(OSError):
                for part in parts:
                    channel.sendall(part)
                    time.sleep(0.05)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], parts
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize(
    ("parts", "good"),
    [
        ([b"HTTP/1.1 200 OK\r\n"], True),
        ([b"HTTP/1.0 302 Found\r\n"], True),
        ([b"HTT", b"P/1.1 20", b"4 None"], True),
        ([b"HTTP/1.1 503 No\r\n"], False),
        ([b"HTTP/1.1 404 No\r\n"], False),
        ([b"SSH-2.0-OpenSSH\r\n"], False),
        ([], False),
        ([b"H"] * 40, False),
    ],
)
def test_an_http_answer_counts_by_its_status_and_within_its_time(
    port: tuple[int, list[bytes]], parts: list[bytes], good: bool
) -> None:
    number, to_send = port
    to_send.extend(parts)
    began = time.monotonic()
    assert answers("127.0.0.1", number, b"GET / HTTP/1.0\r\n\r\n", 0.4) is good
    assert time.monotonic() - began < 0.8


def test_a_connection_counts_and_a_closed_port_does_not(port: tuple[int, list[bytes]]) -> None:
    assert connects("127.0.0.1", port[0], 0.5)
    with socket.create_server(("127.0.0.1", 0)) as closing:
        closed = closing.getsockname()[1]
    assert not connects("127.0.0.1", closed, 0.5)
    assert not answers("127.0.0.1", closed, b"x", 0.5)


def test_a_command_that_hangs_is_a_failure_in_time() -> None:
    began = time.monotonic()
    assert not succeeds(["sleep", "5"], 0.2)
    assert time.monotonic() - began < 2
    assert not succeeds(["/nonexistent"], 0.2)


def test_a_running_agent_tells_pacemaker_of_its_checks(
    tmp_path: Path, port: tuple[int, list[bytes]]
) -> None:
    number, to_send = port
    to_send.append(b"HTTP/1.1 503 Later\r\n")
    node = FakeNode(tmp_path)
    try:
        node.write_config(
            health_http=f"http://127.0.0.1:{number}/up?now=1",
            health_tcp=f"127.0.0.1:{number}",
            health_seconds=0.1,
            health_timeout_seconds=0.5,
        )
        node.start()
        wait_until(lambda: SET_RED in node.calls("attrd_updater"), "the node is red")
        assert f"check=http://127.0.0.1:{number}/up?now=1  is_well=False" in node.log()
        to_send[0] = b"HTTP/1.1 200 OK\r\n"
        wait_until(lambda: node.calls("attrd_updater")[-1] == SET_GREEN, "it is green again")
        told = node.calls("attrd_updater")
        assert node.stop() == 0
        assert node.calls("attrd_updater") == told, "its end changes nothing"
    finally:
        node.close()
