"""Answers with what it was given."""

import os
import time
from typing import Any


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return the event and where it ran."""
    if event.get("do") == "raise":
        raise ValueError("as asked")
    if event.get("do") == "crash":
        os._exit(7)
    if event.get("do") == "segfault":
        os.kill(os.getpid(), 9)
    time.sleep(event.get("seconds", 0))
    return {"event": event, "pid": os.getpid(), "name": context.function_name}
