"""Tests of the real cluster run in one enclosure; see `lab.cluster.pytest_plugin`."""

from lab.cluster.pytest_plugin import (
    pytest_runtest_logreport,
    pytest_runtest_protocol,
    pytest_runtest_setup,
    pytest_sessionstart,
)

__all__ = [
    "pytest_runtest_logreport",
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_sessionstart",
]
