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
from eip_agent.calls.commands import Ended
from eip_agent.conclude import view
from eip_agent.followup import clean_up as followup
from eip_agent.followup import orders
from eip_agent.observe import watchers
from eip_agent.observe.pacemaker import parse_crm_mon, parse_quorum_mode
from eip_agent.remember import board
from eip_agent.remember.sight import PacemakerView
from eip_agent.report import publisher, reporter

from lab.simulated.plan import NOT_CONNECTED_XML
from simulation import clock

VIEWS: dict[str, Callable[[], PacemakerView]] = {}
QUORUM_MODES: dict[str, Callable[[], str]] = {}
"""What `crm_mon` and `corosync-quorumtool` would show, by the argument that the settings give."""

TROUBLES: dict[str, Callable[[str], str]] = {}
"""What is wrong with a command there: `hangs`, `fails`, `not_connected`, or nothing."""

FILES: dict[str, dict[str, Any]] = {}
"""The JSON files of all agents, by path."""


def _run(command: list[str], timeout_seconds: float) -> str:
    """One of the cluster's commands: its name, and whose it is."""
    name, key = command[:2]
    trouble = TROUBLES[key](name)
    clock.CURRENT.loop.sleep(timeout_seconds if trouble == "hangs" else 0.012)
    if trouble:
        return NOT_CONNECTED_XML if trouble == "not_connected" else ""
    return key


def _ended(command: list[str], timeout_seconds: float, **_: object) -> Ended:
    text = _run(command, timeout_seconds)
    return Ended(0 if text else None, text or "TimeoutExpired")


def _parse(text: str, node_name: str, watched: Any) -> PacemakerView:
    shown = VIEWS.get(text)
    return shown() if shown else parse_crm_mon(text, node_name, watched)


def _parse_mode(text: str) -> str:
    mode = QUORUM_MODES.get(text)
    return mode() if mode else parse_quorum_mode(text)


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
_COMMANDS = {"run": _run, "ended": _ended}

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
    *(
        (watchers, name, stand_in)
        for name, stand_in in _COMMANDS.items()
        if hasattr(watchers, name)
    ),
    (watchers, "parse_crm_mon", _parse),
    (watchers, "parse_quorum_mode", _parse_mode),
    (followup, "threading", _THREADING),
    (orders, "time", clock.time),
    (orders, "read_json", lambda path: FILES.get(path, {})),
    (orders, "replace_file", lambda path, text: FILES.__setitem__(path, json.loads(text))),
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
        TROUBLES.clear()
        FILES.clear()
