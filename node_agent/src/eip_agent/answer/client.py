"""Asks the running agent over its socket, for the command line."""

from __future__ import annotations

import json
import socket
from typing import Any

_ANSWER_SECONDS = 5.0


class NoAnswerError(Exception):
    """The agent did not say anything usable; `refused` tells that we may not ask."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


def ask_status(path: str) -> dict[str, Any]:
    """Everything that the agent behind this socket says of itself.

    Raises:
        NoAnswerError: no agent answers there, or it does not answer us.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(_ANSWER_SECONDS)
            channel.connect(path)
            channel.sendall(b'{"op":"status"}\n')
            answer = json.loads(channel.makefile("rb").readline())
    except (OSError, ValueError) as error:
        refused = isinstance(error, PermissionError)
        raise NoAnswerError(f"no agent answers on {path} ({error})", refused=refused) from error
    if not isinstance(answer, dict) or answer.get("outcome") != "ok":
        reason = answer.get("reason") if isinstance(answer, dict) else "not an object"
        raise NoAnswerError(f"the agent on {path} says: {reason}", refused=True)
    return answer
