"""What a test needs of the machine: skipped by name where it is missing, a failure in CI."""

from __future__ import annotations

import os

import pytest


def needed(what: str, *, there: bool) -> None:
    """Skips by name where a tool is missing, and fails in CI, which has all of them.

    A skip is right elsewhere: whoever develops without root, or on another system than Debian,
    cannot have a cluster in namespaces, and is to run all other tests and read which were left out.
    """
    if there:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing here; CI runs this test")
