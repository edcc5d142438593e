"""What a test needs of the machine: skipped by name where it is missing, a failure in CI."""

from __future__ import annotations

import os

import pytest


def needed(what: str, *, there: bool) -> None:
    """Skips by name where a tool is missing; CI has all of them, so there it fails.

    Whoever develops without root, or on another system than Debian, still runs all other tests.
    """
    if not there:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} is missing, and CI must have it")
        pytest.skip(f"{what} is missing")
