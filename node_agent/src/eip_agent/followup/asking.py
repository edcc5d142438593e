"""How Pacemaker is asked: by `crm_resource`, and never where a running resource could suffer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from eip_agent.calls.commands import ended

COMMAND_SECONDS = 10.0
"""It asks and waits for answers of daemons here; one that hangs must not outlast its reason."""

Say = Callable[..., None]
Run = Callable[[list[str]], str]
"""Runs `crm_resource` with these arguments; returns what went wrong, empty when nothing did."""


def crm_resource(command: Sequence[str]) -> str:
    """Runs `crm_resource`; returns its complaint in one line, empty when it succeeded."""
    done = ended(command, COMMAND_SECONDS, with_errors=True)
    if done.status is None:
        return done.output
    text = " ".join(done.output.split())
    return f"exit status {done.status}: {text}" if done.status else ""
