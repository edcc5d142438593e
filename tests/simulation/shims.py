"""Puts virtual time, and the modelled Pacemaker's word, under the shipped agent for one run.

Only names that the agent's modules import are replaced (`time`, `threading`, running a command,
files); its logic stays as it is shipped. All is put back when the run ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from eip_agent.answer import operations
from eip_agent.conclude import view
from eip_agent.followup import clean_up as followup
from eip_agent.observe import watchers
from eip_agent.remember import board
from eip_agent.remember.sight import PacemakerView
from eip_agent.report import publisher, reporter

from simulation import clock

VIEWS: dict[str, Callable[[], PacemakerView]] = {}
QUORUM_MODES: dict[str, Callable[[], str]] = {}
"""What `crm_mon` and `corosync-quorumtool` would show, by the command that the settings name."""

FILES: dict[str, dict[str, Any]] = {}
"""The JSON files of all agents, by path."""


def _run(command: list[str], _timeout_seconds: float) -> str:
    clock.CURRENT.loop.sleep(0.012)
    return command[0]


def _parse(text: str, _node_name: str, _watched: object) -> PacemakerView:
    return VIEWS[text]()


T = TypeVar("T")


def _replace(value: T, **changes: Any) -> T:
    """`dataclasses.replace` for values without slots or own checks, three times as fast."""
    new = object.__new__(type(value))
    new.__dict__.update(value.__dict__)
    new.__dict__.update(changes)
    return new


_DATACLASSES = types.SimpleNamespace(replace=_replace, asdict=dataclasses.asdict)
_THREADING = types.SimpleNamespace(Lock=contextlib.nullcontext, Event=clock.Event)
_SPLIT = types.SimpleNamespace(split=str.split)

_REPLACED: tuple[tuple[Any, str, Any], ...] = (
    (board, "time", clock.time),
    (board, "dataclasses", _DATACLASSES),
    (reporter, "dataclasses", _DATACLASSES),
    (watchers, "dataclasses", _DATACLASSES),
    (view, "dataclasses", _DATACLASSES),
    (board, "threading", clock.threading),
    (reporter, "time", clock.time),
    (publisher, "threading", clock.threading),
    (operations, "time", clock.time),
    (watchers, "time", clock.time),
    (watchers, "shlex", _SPLIT),
    (watchers, "run", _run),
    (watchers, "parse_crm_mon", _parse),
    (watchers, "parse_quorum_mode", lambda text: QUORUM_MODES[text]()),
    (followup, "threading", _THREADING),
    (followup, "read_json", lambda path: FILES.get(path, {})),
    (followup, "replace_file", lambda path, text: FILES.__setitem__(path, json.loads(text))),
)


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """While this lasts, agents made in this process live in virtual time."""
    kept = [(module, name, getattr(module, name)) for module, name, _ in _REPLACED]
    for module, name, value in _REPLACED:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)
        VIEWS.clear()
        QUORUM_MODES.clear()
        FILES.clear()
