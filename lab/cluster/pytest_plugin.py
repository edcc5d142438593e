"""pytest: tests marked `real_cluster` run together in one enclosure, each reported as itself.

A conftest imports the hooks from here. The outer pytest starts a second one in an enclosure with
the same tests and passes its reports on as they come. `real_cluster(outside=True)` is for tests
that need the same machine but make enclosures of their own.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any

import pytest

from lab.cluster import enclosure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen

MARKER = "real_cluster"
_REPORTS = "EIP_ARBITER_LAB_REPORTS"
_TAIL = 4000


def _enclosed(item: pytest.Item) -> bool:
    marker = item.get_closest_marker(MARKER)
    return marker is not None and not marker.kwargs.get("outside", False)


class _Inner:
    """The pytest in the enclosure, as the outer one follows it."""

    def __init__(self, session: pytest.Session) -> None:
        self.config = session.config
        read_end, write_end = os.pipe()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # for its whole life
        names = [item.nodeid for item in session.items if _enclosed(item)]
        os.environ[_REPORTS] = str(write_end)
        options = ["-q", "-p", "no:cacheprovider", f"--rootdir={self.config.rootpath}"]
        self.process: Popen[bytes] = enclosure.start(
            [sys.executable, "-m", "pytest", *options, *names],
            output=self._output,
            pass_fds=(write_end,),
        )
        del os.environ[_REPORTS]
        os.close(write_end)
        self._reports = os.fdopen(read_end)

    def reports_of(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        """Yield the reports of one test as they arrive; its teardown is the last."""
        for line in self._reports:
            report = self.config.hook.pytest_report_from_serializable(
                config=self.config, data=json.loads(line)
            )
            if not isinstance(report, pytest.TestReport) or report.nodeid != item.nodeid:
                raise RuntimeError(f"{item.nodeid} expected, not {line}")
            yield report
            if report.when == "teardown":
                return
        self._output.seek(0)
        text = self._output.read().decode(errors="replace")[-_TAIL:]
        yield pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="failed",
            longrepr=f"the enclosure ended with {self.process.wait()}:\n{text}",
            when="call",
        )


_INNER = pytest.StashKey[_Inner]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Take a test's outcome from the enclosure instead of running it here."""
    if enclosure.inside() or not _enclosed(item) or enclosure.requirements_missing():
        return None
    stash = item.config.stash
    if _INNER not in stash:
        stash[_INNER] = _Inner(item.session)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in stash[_INNER].reports_of(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # What earlier tests of this folder set up here ends with the folder, as pytest expects.
    item.session._setupstate.teardown_exact(nextitem)  # noqa: SLF001
    return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip by name what this machine cannot hold; in CI that is a failure."""
    if item.get_closest_marker(MARKER) is None or enclosure.inside():
        return
    missing = enclosure.requirements_missing()
    if missing:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"no real cluster here: missing {', '.join(missing)}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Inside, pass every report on to the pytest outside."""
    if not enclosure.inside() or _REPORTS not in os.environ:
        return
    data: dict[str, Any] | None = _SERIALIZER[0].hook.pytest_report_to_serializable(
        config=_SERIALIZER[0], report=report
    )
    os.write(int(os.environ[_REPORTS]), json.dumps(data).encode() + b"\n")


_SERIALIZER: list[pytest.Config] = []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the configuration: the hook that reports has no other way to it."""
    _SERIALIZER[:] = [session.config]
