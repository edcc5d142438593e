"""The cluster's commands, run without a shell and within a time."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """How a command ended; without a `status` it could not be run or was too slow: see `output`."""

    status: int | None
    output: str


def ended(command: Sequence[str], timeout_seconds: float, *, with_errors: bool = False) -> Ended:
    """Runs a command; its standard output, and its errors in between if they are asked for."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if with_errors else subprocess.DEVNULL,
            timeout=timeout_seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ended(None, f"{type(error).__name__}: {error}")
    return Ended(done.returncode, done.stdout.decode("utf-8", "replace"))


def run(command: Sequence[str], timeout_seconds: float) -> str:
    """A command's standard output; empty when it cannot be run or does not end in time."""
    done = ended(command, timeout_seconds)
    return "" if done.status is None else done.output
