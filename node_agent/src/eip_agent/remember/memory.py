"""What the agent remembers across restarts, in small files that are replaced, never rewritten.

`incarnation` and `failed-starts.json` lie in the state folder; `words.json` lies beside the socket,
in a folder that a reboot empties, as what it tells does not survive a reboot either.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import Any, Callable

from eip_agent.remember.sight import Word

AHEAD_SECONDS = 300
"""A counter that is so far ahead of the clock is damaged: nobody would take in what it numbers."""


def next_incarnation(state_dir: str, epoch_seconds: int, warn: Callable[[str], None]) -> int:
    """Counts this start, on disk before it returns.

    Never less than the seconds since the epoch, which no counter of starts can have passed: so it
    does not go back with a lost or damaged counter, one on a disk that was restored, or one that
    cannot be read or written. Nor far ahead of them, as one that a wrong clock once chose.

    Args:
        state_dir: the folder of the counter.
        epoch_seconds: now, by the best clock there is; this machine's own may be days off.
        warn: takes a sentence about what was wrong.
    """
    path = os.path.join(state_dir, "incarnation")
    try:
        with open(path, encoding="ascii") as file:
            last = int(file.read(32))
    except FileNotFoundError:
        last = epoch_seconds
    except (OSError, ValueError):
        last = 0
    if not 0 < last <= epoch_seconds + AHEAD_SECONDS:
        last = epoch_seconds
        warn(f"{path} is damaged or cannot be read: the incarnation goes on from the clock, {last}")
    count = max(last + 1, epoch_seconds)
    try:
        replace_file(path, str(count))
    except OSError as error:
        warn(f"{path} cannot be written ({error.strerror}): the incarnation is the clock, {count}")
    return count


def replace_file(path: str, text: str) -> None:
    """Writes a whole file so that a crash leaves the old one or the new one; from any thread."""
    new = f"{path}.{threading.get_ident()}.new"
    try:
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def read_json(path: str) -> dict[str, Any]:
    """A remembered JSON object; empty when there is none or it is damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class Words:
    """The resource agent's last words, and the notes it leaves when the agent is away."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._path = os.path.join(run_dir, "words.json")

    def load(self, now: float) -> dict[str, Word]:
        """The remembered words as of `now`; a start that was waiting has to be said again."""
        return {
            name: Word(
                state=raw["state"],
                at=now,
                term=raw.get("term"),
                public_ip=raw.get("public_ip", ""),
                table_id=raw.get("table_id", ""),
            )
            for name, raw in read_json(self._path).items()
            if isinstance(raw, dict) and raw.get("state") in ("started", "stopped")
        }

    def save(self, words: dict[str, Word]) -> None:
        """Remembers the words."""
        plain = {
            name: {
                "state": word.state,
                "term": word.term,
                "public_ip": word.public_ip,
                "table_id": word.table_id,
            }
            for name, word in words.items()
        }
        replace_file(self._path, json.dumps(plain))

    def take_notes(self, kind: str, resources: tuple[str, ...]) -> list[str]:
        """Resources of which this was noted while the agent was away; each note is read once.

        Args:
            kind: `released` for a stop, `failed` for what Pacemaker counts as a failure.
            resources: those that the agent watches.
        """
        return [resource for resource in resources if self.drop_note(kind, resource)]

    def drop_note(self, kind: str, resource: str) -> bool:
        """Removes a resource's note and tells whether there was one."""
        try:
            os.unlink(os.path.join(self._run_dir, f"{kind}.{resource}"))
        except OSError:
            return False
        return True
