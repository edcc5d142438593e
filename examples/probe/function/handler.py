"""Each minute: do the Elastic IPs answer from outside? Connects by TCP, and says nothing else."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

ATTEMPTS = 3
CONNECT_SECONDS = 3.0
PAUSE_SECONDS = 2.0
"""Three attempts in thirteen seconds at most: a failover is over in that time, and no alarm."""


class UnreachableError(Exception):
    """An address did not answer; the message names each, and the function's error is the alarm."""


def read_targets(text: str) -> list[tuple[str, int]]:
    """`address:port`, separated by commas.

    Raises:
        ValueError: with every entry that is none.
    """
    targets, wrong = [], []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        host, _, port = entry.rpartition(":")
        if host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16:
            targets.append((host, int(port)))
        else:
            wrong.append(entry)
    if wrong or not targets:
        raise ValueError(f"TARGETS must be address:port, ..., not {', '.join(wrong) or 'empty'}")
    return targets


def failure(target: tuple[str, int]) -> str | None:
    """What the last attempt met; None once one got through."""
    why = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        try:
            socket.create_connection(target, CONNECT_SECONDS).close()
        except OSError as error:
            why = f"{target[0]}:{target[1]}: {error.strerror or type(error).__name__}"
        else:
            return None
    return why


TARGETS = read_targets(os.environ["TARGETS"])


def lambda_handler(event: object, context: object) -> dict[str, int]:  # noqa: ARG001 - Lambda's form
    """Looks once at all of them, side by side.

    Raises:
        UnreachableError: at least one did not answer.
    """
    with ThreadPoolExecutor(len(TARGETS)) as pool:
        failures = [why for why in pool.map(failure, TARGETS) if why]
    if failures:
        raise UnreachableError("; ".join(failures))
    return {"reachable": len(TARGETS)}
