"""Pacemaker's log, as Pacemaker 2.1.5 wrote it in the lab."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lab.rounds.pacemaker_log import NO_RESULT, PacemakerLogs, operations

NOW = datetime.now()  # noqa: DTZ005 - the log has local times
HEAD = NOW.strftime("%b %d %H:%M:%S.%f")[:-3]
LINES = f"""\
{HEAD} n1 pacemaker-execd     [52] (process_lrmd_rsc_register) \tinfo: Cached information for 'eip'
{HEAD} n1 pacemaker-controld  [55] (log_executor_event) \tnotice: Result of probe operation for \
eip on n1: not running | CIB update 15, graph action confirmed; call=5 key=eip_monitor_0 rc=7
{HEAD} n1 pacemaker-execd     [52] (log_execute) \tinfo: executing - rsc:eip action:start call_id:6
{HEAD} n1 pacemaker-execd     [52] (log_execute) \tinfo: executing - rsc:eip2 action:start call_id:6
{HEAD} n1 pacemaker-controld  [55] (log_executor_event) \tnotice: Result of start operation for \
eip on n1: ok | CIB update 17, graph action confirmed; call=6 key=eip_start_0 rc=0
{HEAD} n1 pacemaker-controld  [55] (log_executor_event) \tinfo: Result of monitor operation for \
eip on n1: Cancelled | graph action confirmed; call=8 key=eip_monitor_10000
{HEAD} n1 pacemaker-controld  [55] (log_executor_event) \terror: Result of start operation for \
eip on n1: Timed Out after 20s | CIB update 9, graph action confirmed; call=7 key=eip_start_0
""".splitlines()


def test_what_was_begun_and_how_it_ended_is_read() -> None:
    found = [(o.node, o.action, o.rc) for o in operations(LINES, "n1", "eip")]
    assert found == [
        ("n1", "probe", 7),
        ("n1", "start", None),
        ("n1", "start", 0),
        ("n1", "start", NO_RESULT),
    ]


def test_a_line_s_time_is_on_the_clock_of_the_journal() -> None:
    (begun,) = operations(LINES[2:3], "n1", "eip")
    ago = (datetime.now() - NOW).total_seconds()  # noqa: DTZ005 - local, as above
    assert begun.at == pytest.approx(time.monotonic() - ago, abs=0.01)


def test_a_line_of_last_year_is_not_taken_for_one_to_come() -> None:
    before = NOW - timedelta(days=100)
    text = LINES[2].replace(HEAD, before.strftime("%b %d %H:%M:%S.%f")[:-3])
    (begun,) = operations([text], "n1", "eip")
    assert time.monotonic() - begun.at == pytest.approx(100 * 86_400, abs=2 * 3600)


def test_each_look_gives_what_is_new_and_no_half_written_line(tmp_path: Path) -> None:
    log = tmp_path / "pacemaker.log"
    logs = PacemakerLogs({"n1": log})
    assert logs.news("eip") == []
    log.write_text(f"{LINES[1]}\n{LINES[2][:70]}")
    assert [o.action for o in logs.news("eip")] == ["probe"]
    assert logs.news("eip") == []
    with log.open("a") as more:
        more.write(f"{LINES[2][70:]}\n")
    assert [(o.action, o.rc) for o in logs.news("eip")] == [("start", None)]
