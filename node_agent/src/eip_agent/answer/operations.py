"""What is asked over the socket: by the resource agent, the alert agent and the command line."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable

from eip_agent import __version__
from eip_agent.conclude.verdicts import Verdict, monitor_verdict, start_verdict
from eip_agent.remember.board import Board, age_seconds
from eip_agent.remember.sight import NEVER, Word

if TYPE_CHECKING:
    from eip_agent.answer.server import Alive
    from eip_agent.followup.clean_up import CleanUp
    from eip_agent.observe.health import Health
    from eip_agent.remember.sight import Sight
    from eip_agent.report.publisher import Publisher
    from eip_agent.report.reporter import Reporter
    from eip_agent.settings import Settings

_RELEASE_SECONDS = 0.3
_LOOK_AGAIN_SECONDS = 1.0
_DEFAULT_START_SECONDS, _LONGEST_START_SECONDS = 18.0, 600.0
_OVERTAKEN = Verdict("refused", "another operation took this start's place")
"""A stop came in meanwhile, or another start: its word is the last one."""


def _wall_clock_ms() -> int:
    return int(time.time() * 1000)


class Operations:
    """Answers requests; each runs in a thread of its own."""

    def __init__(
        self,
        board: Board,
        settings: Settings,
        *,
        reporter: Reporter,
        publisher: Publisher,
        clean_up: CleanUp,
        health: Health,
        say: Callable[..., None],
        now_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        self._board, self._settings, self._say = board, settings, say
        self._health, self._now_ms = health, now_ms
        self._reporter, self._publisher, self._clean_up = reporter, publisher, clean_up

    def handle(self, request: Mapping[str, Any], alive: Alive) -> Mapping[str, Any]:
        """Answers one request; `alive` tells whether the asker still waits."""
        operation, resource = request.get("op"), request.get("resource")
        if operation == "alert":
            self._board.observer_wake.set()
            return {"outcome": "ok"}
        if operation == "status":
            return self._describe()
        if operation not in ("start", "stop", "monitor"):
            return {"outcome": "error", "reason": "no such operation"}
        if not isinstance(resource, str) or resource not in self._settings.resources:
            known = ", ".join(self._settings.resources)
            text = f"the agent watches {known}, not {resource!a}: see `resources` in its settings"
            return {"outcome": "error", "reason": text}
        if operation == "start":
            return self._start(resource, _seconds(request.get("timeout_ms")), alive)
        return self._stop(resource) if operation == "stop" else self._monitor(resource)

    def _start(self, resource: str, seconds: float, alive: Alive) -> Mapping[str, Any]:
        with self._board.changed:
            began = time.monotonic()
            self._board.words.drop_note("released", resource)
            word = Word("starting", began, claim=self._reporter.next_order)
            self._board.set_word(resource, word)
            self._reporter.pulse()
        self._board.status_wake.set()
        self._board.observer_wake.set()
        verdict = self._await_grant(resource, word, began + seconds, alive)
        with self._board.changed:
            now = time.monotonic()
            if self._board.sight().words.get(resource) is not word:
                verdict = _OVERTAKEN
            granted = verdict.outcome == "granted"
            if granted:
                grant = verdict.term, verdict.public_ip, verdict.table_id
                self._board.set_word(resource, Word("started", now, word.claim, *grant))
                self._clean_up.settled(resource)
            else:
                # Pacemaker remembers it as failed in either case, by our answer or by its time-out.
                self._clean_up.note(resource, now, began)
                if verdict is not _OVERTAKEN:
                    self._board.set_word(resource, Word("stopped", now))
            self._reporter.pulse()
        self._board.metadata_wake.set()
        self._say(
            "The start is granted" if granted else "The start is refused",
            resource=resource,
            term=verdict.term,
            reason=verdict.reason,
            after_seconds=f"{now - began:.2f}",
        )
        outcome = "granted" if granted else "refused"
        return {**dataclasses.asdict(verdict), "outcome": outcome}

    def _await_grant(self, resource: str, word: Word, deadline: float, alive: Alive) -> Verdict:
        """Waits for a final verdict; a refusal must outlive one more look at the state."""
        refused_at = NEVER
        while True:
            with self._board.changed:
                s = self._board.sight()
                if s.words.get(resource) is not word:
                    return _OVERTAKEN
                verdict = start_verdict(s, resource)
                if verdict.outcome == "granted" or s.now >= deadline:
                    return verdict
                if verdict.outcome != "refused":
                    refused_at = NEVER
                elif refused_at == NEVER:
                    refused_at = s.status_at
                elif s.status_at > refused_at:
                    return verdict
                self._board.changed.wait(min(0.25, deadline - s.now))
            if not alive():
                return Verdict("refused", f"the resource agent went away; {verdict.reason}")

    def _stop(self, resource: str) -> Mapping[str, Any]:
        self._board.words.drop_note("released", resource)
        self._board.set_word(resource, Word("stopped", time.monotonic()))
        # It may be an order that stops it, whose ban on this node is taken back by who knows of it:
        # a calm node would read of it later than it may be over, and its target be dead.
        self._board.status_wake.set()
        self._reporter.flush(_RELEASE_SECONDS)
        return {"outcome": "released"}

    def _monitor(self, resource: str) -> Mapping[str, Any]:
        with self._board.changed:
            word = self._board.sight().words.get(resource)
            if word is None or word.state == "stopped":
                self._say("The resource agent says that it runs here", resource=resource)
                self._board.set_word(resource, Word("started", time.monotonic()))
            s = self._board.sight()
        verdict = self._judge(s, resource)
        if verdict.outcome == "lost":
            # The last read may be older than a grant to this node: nothing is lost by it alone.
            verdict = self._judge_anew(resource)
        if verdict.outcome == "lost":
            # The resource agent now says "not running", so Pacemaker takes it for stopped here.
            # With migration-threshold=1 that failure would keep the node from ever taking over.
            self._say("The address is lost", resource=resource, reason=verdict.reason)
            self._board.set_word(resource, Word("stopped", time.monotonic()))
            self._clean_up.note(resource, time.monotonic())
        return dataclasses.asdict(verdict)

    def _judge(self, s: Sight, resource: str) -> Verdict:
        lag = self._settings.metadata_lag_seconds
        return monitor_verdict(s, resource, self._now_ms(), lag)

    def _judge_anew(self, resource: str) -> Verdict:
        """The verdict once the table was read again; what it said before does not count here.

        If that takes longer than a second, the metadata service alone can tell.
        """
        began = time.monotonic()
        self._board.status_wake.set()
        with self._board.changed:
            while self._board.sight().status_at < began:
                left = began + _LOOK_AGAIN_SECONDS - time.monotonic()
                if left <= 0:
                    s = dataclasses.replace(self._board.sight(), status=None)
                    return self._judge(s, resource)
                self._board.changed.wait(left)
            return self._judge(self._board.sight(), resource)

    def _describe(self) -> Mapping[str, Any]:
        """Everything that an operator may want to see."""
        s = self._board.sight()
        last = self._reporter.last
        status = s.status
        return {
            "outcome": "ok",
            "version": __version__,
            "report": None if last is None else last.to_detail(),
            "reports_sent": self._publisher.sent_count,
            "passed_over": self._reporter.passed_over,
            "publishing": s.publish_trouble or "ok",
            "looking": s.pacemaker_trouble or "ok",
            "reading": s.status_trouble or "ok",
            "status_age_seconds": age_seconds(s, s.status_at),
            "addresses": {
                name: dataclasses.asdict(address)
                for name, address in (status.addresses if status else {}).items()
            },
            "node_names": dict(status.node_names) if status else {},
            "links": s.links,
            "words": {name: dataclasses.asdict(word) for name, word in s.words.items()},
            "refused_starts": self._clean_up.resources,
            "failing_checks": self._health.failing,
        }


def _seconds(timeout_ms: Any) -> float:
    if isinstance(timeout_ms, (int, float)) and timeout_ms > 0:
        return min(timeout_ms / 1000, _LONGEST_START_SECONDS)
    return _DEFAULT_START_SECONDS
