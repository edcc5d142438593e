"""Local health checks, which feed Pacemaker's own node attribute `#health-eip-agent`.

Pacemaker decides what follows from it, by `node-health-strategy`. The attribute stays as it is when
the agent ends, so that a restart changes nothing, and the next agent goes on from it.
"""

from __future__ import annotations

import re
import shlex
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, Optional
from urllib.parse import urlsplit

from eip_agent.calls.commands import ended, run

if TYPE_CHECKING:
    from eip_agent.settings import Settings

ATTRIBUTE = "#health-eip-agent"
GREEN, RED = "green", "red"
_COMMAND_SECONDS = 5.0
_SAY_AGAIN_SECONDS, _ASK_AGAIN_SECONDS, _IDLE_SECONDS = 60.0, 5.0, 3600.0
_ANSWERS, _NO_VALUE = (0, 105), "attribute does not exist"
"""How `attrd_updater --query` ends with a value, and without one: by CRM_EX_NOSUCH or, in some
versions, by another status and this text. All else, as 102 for "not connected", is no answer."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [23][0-9][0-9] ")
_STATUS_LINE_BYTES = 13

_ACTIVE, _NOT_ACTIVE = 0, (3, 4)
"""How `systemctl is-active` ends: 4 for a unit that there is not. Without systemd it ends by 1."""

Check = Callable[[float], Optional[bool]]
"""One check: takes the seconds it may last, tells whether all is well; None if it could not ask."""


class Judged:
    """What a check's outcomes amount to: red after so many bad ones in a row, green after good."""

    def __init__(self, failures: int, successes: int, *, red: bool) -> None:
        self._needed = {True: failures, False: successes}
        self._against = 0
        self.red = red

    def take(self, *, good: bool) -> bool:
        """Takes one outcome in; tells whether the judgement changed."""
        if good is not self.red:
            self._against = 0
            return False
        self._against += 1
        if self._against < self._needed[not self.red]:
            return False
        self.red, self._against = not self.red, 0
        return True


class Health:
    """Runs the configured checks one after the other, and tells Pacemaker the outcome."""

    def __init__(self, settings: Settings, say: Callable[..., None]) -> None:
        self._settings, self._say = settings, say
        self._command = [*shlex.split(settings.attrd_updater), "--name", ATTRIBUTE]
        self._checks = checks(settings)
        self._judged: dict[str, Judged] = {}
        self._begun = self._wanting = False
        self._unasked: set[str] = set()
        self._told, self._told_at = "", float("-inf")

    @property
    def failing(self) -> list[str]:
        """The checks that make this node red."""
        return [name for name, judged in self._judged.items() if judged.red]

    def step(self) -> float:
        """Checks everything once; returns the seconds until the next time."""
        if not self._begun and not self._begin():
            return _ASK_AGAIN_SECONDS
        for name, check in self._checks.items():
            good = check(self._settings.health_timeout_seconds)
            self._note_unasked(name, unasked=good is None)
            if good is None:
                continue  # what is missing is no evidence: the judgement stands
            if self._judged[name].take(good=good):
                self._say("The node's health changed", check=name, is_well=good)
        if not self._checks:
            return _IDLE_SECONDS
        self._tell(RED if self.failing else GREEN)
        return self._settings.health_seconds

    def _note_unasked(self, name: str, *, unasked: bool) -> None:
        if unasked and name not in self._unasked:
            self._say("A health check could not be made, and counts neither way", check=name)
        (self._unasked.add if unasked else self._unasked.discard)(name)

    def _begin(self) -> bool:
        """Goes on from what Pacemaker remembers of an earlier agent here, once it answers.

        A node that was red must not be called well for want of an answer.
        """
        known, answered = query([*self._command, "--query"], _COMMAND_SECONDS)
        if not answered:
            if not self._wanting:
                self._say("Pacemaker does not say yet what this node's health was")
            self._wanting = True
            return False
        self._begun = True
        red = f'value="{RED}"' in known
        needed = self._settings.health_failures, self._settings.health_successes
        self._judged = {name: Judged(*needed, red=red) for name in self._checks}
        if not self._checks and (red or f'value="{GREEN}"' in known):
            run([*self._command, "--delete"], _COMMAND_SECONDS)
        return True

    def _tell(self, value: str) -> None:
        """Sets the attribute; again now and then, as a Pacemaker that restarts forgets it."""
        now = time.monotonic()
        if value == self._told and now - self._told_at < _SAY_AGAIN_SECONDS:
            return
        if succeeds([*self._command, "--update", value, "--delay", "0"], _COMMAND_SECONDS):
            self._told, self._told_at = value, now


def checks(settings: Settings) -> dict[str, Check]:
    """The configured checks by a name for people."""
    systemctl = shlex.split(settings.systemctl)
    found: dict[str, Check] = {}
    for unit in settings.health_units:
        found[f"unit {unit}"] = _unit([*systemctl, "is-active", "--quiet", "--", unit])
    for place in settings.health_tcp:
        found[f"tcp {place}"] = _tcp(place)
    for url in settings.health_http:
        found[url] = _http(url)
    return found


def _unit(command: Sequence[str]) -> Check:
    return lambda seconds: _is_active(command, seconds)


def _is_active(command: Sequence[str], seconds: float) -> bool | None:
    """What systemd says of a unit; None where it said nothing, or could not be asked."""
    status = ended(command, seconds).status
    return None if status not in (_ACTIVE, *_NOT_ACTIVE) else status == _ACTIVE


def _tcp(place: str) -> Check:
    host, _, port = place.rpartition(":")
    return lambda seconds: connects(host.strip("[]"), int(port), seconds)


def _http(url: str) -> Check:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    ask_for = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\nUser-Agent: eip-agent\r\n\r\n"
    host, port = parts.hostname or "", parts.port or 80
    return lambda seconds: answers(host, port, ask_for.encode(), seconds)


def connects(host: str, port: int, seconds: float) -> bool:
    """Whether a TCP connection comes about in time."""
    try:
        with socket.create_connection((host, port), seconds):
            return True
    except OSError:
        return False


def answers(host: str, port: int, request: bytes, seconds: float) -> bool:
    """Whether an HTTP server answers 2xx or 3xx in time; the rest of the answer is not read."""
    deadline = time.monotonic() + seconds
    answer = b""
    try:
        with socket.create_connection((host, port), seconds) as channel:
            channel.sendall(request)
            while len(answer) < _STATUS_LINE_BYTES and time.monotonic() < deadline:
                channel.settimeout(max(0.01, deadline - time.monotonic()))
                part = channel.recv(_STATUS_LINE_BYTES - len(answer))
                if not part:
                    break
                answer += part
    except OSError:
        return False
    return _STATUS_LINE.match(answer) is not None


def query(command: Sequence[str], seconds: float) -> tuple[str, bool]:
    """What `attrd_updater` prints, and whether that is an answer."""
    done = ended(command, seconds, with_errors=True)
    return done.output, done.status in _ANSWERS or _NO_VALUE in done.output


def succeeds(command: Sequence[str], seconds: float) -> bool:
    """Whether a command ends with status 0 in time."""
    return ended(command, seconds).status == 0
