"""The one place where threads meet: what is known now, under one lock, and who waits for news.

Facts are put in whole and read whole; nothing is judged here.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from eip_agent.remember.sight import NEVER, Sight, Word

if TYPE_CHECKING:
    from eip_agent.remember.memory import Words


_SAY_AGAIN_SECONDS = 300.0


class Outcome:
    """Whether calls of one kind succeed; says a sentence when that changes."""

    def __init__(self, what: str, say: Callable[..., None]) -> None:
        self._what, self._say = what, say
        self.trouble = ""
        self._kind, self._since, self._said_at = "", 0.0, NEVER

    def failed(self, kind: str, message: str) -> None:
        """Notes a failure; the first is said, and another kind of it now and then.

        The kinds of one outage may alternate for a day.
        """
        now = time.monotonic()
        if not self.trouble:
            self._since = now
        if not self.trouble or (kind != self._kind and now - self._said_at >= _SAY_AGAIN_SECONDS):
            self._say(f"{self._what} fails", reason=message)
            self._kind, self._said_at = kind, now
        self.trouble = message

    def succeeded(self) -> None:
        """Notes a success."""
        if self.trouble:
            seconds = f"{time.monotonic() - self._since:.1f}"
            self._say(f"{self._what} succeeds again", after_seconds=seconds)
        self._kind, self.trouble = "", ""


class Board:
    """What this node knows; every method may be called from any thread.

    `changed` is the lock and the bell: whoever holds it sees a board that stands still. It is
    re-entrant, and nothing that may block on a network is done while it is held.
    """

    def __init__(
        self, node_name: str, instance_id: str, words: Words, say: Callable[..., None]
    ) -> None:
        now = time.monotonic()
        self.changed = threading.Condition(threading.RLock())
        self.publishing = Outcome("Publishing", say)
        self.reading = Outcome("Reading the state", say)
        self.looking = Outcome("Asking Pacemaker", say)
        self.observer_wake = threading.Event()
        self.status_wake = threading.Event()
        self.metadata_wake = threading.Event()
        self.cadence_seconds = 1.0
        self.words, self._say = words, say
        self._sight = Sight(node_name, instance_id, now, words=words.load(now))

    def sight(self) -> Sight:
        """One consistent look at everything, as of now."""
        with self.changed:
            return dataclasses.replace(
                self._sight,
                now=time.monotonic(),
                publish_trouble=self.publishing.trouble,
                status_trouble=self.reading.trouble,
                pacemaker_trouble=self.looking.trouble,
            )

    def glance(self) -> Sight:
        """The facts without the time and the troubles of calls: cheap enough for fast polling."""
        return self._sight

    def know(self, **facts: Any) -> None:
        """Takes facts in and lets everybody who waits look again."""
        with self.changed:
            self._sight = dataclasses.replace(self._sight, **facts)
            self.changed.notify_all()

    def set_word(self, resource: str, word: Word) -> None:
        """Takes the resource agent's word on a resource, and remembers it on disk."""
        with self.changed:
            words = {**self._sight.words, resource: word}
            try:
                self.words.save(words)
            except OSError as error:
                # What was said counts now; only a restart would not know of it.
                self._say("The resource agent's word could not be kept", reason=error)
            absent = {name: row for name, row in self._sight.absent.items() if name != resource}
            self.know(words=words, absent=absent)

    def wait(self, seconds: float) -> None:
        """Waits for news, at most so long."""
        with self.changed:
            if seconds > 0:
                self.changed.wait(seconds)


def age_seconds(s: Sight, at: float) -> float | None:
    """How long ago something was, or None for never."""
    return None if at == NEVER else round(s.now - at, 1)
