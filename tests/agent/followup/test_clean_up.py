"""When the agent has Pacemaker forget a failed start, and when it keeps its hands off."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from agent.conclude.test_verdicts import PAUSED
from agent.conclude.test_view import ME, PEER, status, with_view
from eip_agent.followup.clean_up import CleanUp
from eip_agent.remember.sight import Sight, Word

if TYPE_CHECKING:
    from pathlib import Path
from agent.followup.followed import Pacemaker, at, quiet


def test_a_refused_start_is_forgotten_once_the_cluster_has_been_whole_for_a_while(
    tmp_path: Path,
) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    clean_up.note("eip", 10.0)
    apart: dict[str, Any] = {"links": {2: False}, "advanced_at": {PEER: 11.0}}
    clean_up.step(at(11.0, **apart), 1_000)
    clean_up.step(at(12.0), 1_000)
    clean_up.step(at(13.0), 1_000)
    assert not pacemaker.asked
    clean_up.step(at(14.0), 1_000)
    assert pacemaker.asked == ["--cleanup --resource eip --node n1"]
    clean_up.step(at(15.0), 1_000)
    assert len(pacemaker.asked) == 1
    clean_up.step(at(40.0, pacemaker=with_view()), 1_000)
    assert clean_up.resources == []


def test_what_is_owed_outlives_a_full_disk_and_is_kept_once_there_is_room(tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "not there"
    path = str(folder / "debts")
    clean_up = CleanUp(path, Pacemaker().run, lambda text, **_: said.append(text), 0.0)
    clean_up.note("eip", 10.0)
    clean_up.save()
    clean_up.save()
    assert clean_up.resources == ["eip"]
    assert said == ["Refused starts could not be kept on disk"]
    folder.mkdir()
    clean_up.save()
    assert CleanUp(path, Pacemaker().run, quiet, 0.0).resources == ["eip"]


def test_nothing_is_cleaned_up_while_the_resource_starts_or_runs(tmp_path: Path) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    clean_up.note("eip", 10.0)
    for now in (12.0, 15.0, 18.0):
        clean_up.step(at(now, words={"eip": Word("starting", now)}), 1_000)
    assert not pacemaker.asked


def test_refused_starts_are_remembered_across_restarts_and_tried_again_while_pacemaker_fails(
    tmp_path: Path,
) -> None:
    pacemaker = Pacemaker()
    path = str(tmp_path / "debts")
    before = CleanUp(path, pacemaker.run, quiet, 0.0)
    before.note("eip", 0.0)
    before.save()
    clean_up = CleanUp(path, pacemaker.run, quiet, 0.0)
    assert clean_up.resources == ["eip"]
    pacemaker.trouble = "exit status 1"
    for now in range(1, 121):
        clean_up.step(at(float(now)), 1_000)
    assert 20 <= len(pacemaker.asked) <= 25, "a failing command is no reason to wait ever longer"
    assert CleanUp(path, pacemaker.run, quiet, 0.0).resources == ["eip"]
    clean_up.step(at(140.0, pacemaker=with_view()), 1_000)
    clean_up.save()
    assert CleanUp(path, pacemaker.run, quiet, 0.0).resources == []


def test_what_failed_anew_during_a_step_is_not_taken_for_forgotten(tmp_path: Path) -> None:
    def run(_: list[str]) -> str:
        clean_up.note("vip", 40.0)
        return ""

    clean_up = CleanUp(str(tmp_path / "debts"), run, quiet, 0.0)
    clean_up.note("eip", 1.0)
    clean_up.note("vip", 24.0)
    clean_up.step(at(37.0), 1_000)
    clean_up.step(at(40.0), 1_000)
    assert clean_up.resources == ["eip", "vip"]


def cleaned_up_after(failed_at: float, clean_up: CleanUp, pacemaker: Pacemaker) -> float:
    """Seconds from a failure, in a cluster that is whole, until Pacemaker was told to forget it."""
    before = len(pacemaker.asked)
    clean_up.note("eip", failed_at, began_at=failed_at - 18.0)
    now = failed_at
    while len(pacemaker.asked) == before:
        now += 1.0
        clean_up.step(at(now), 1_000)
    return now - failed_at


def test_starts_that_fail_one_after_the_other_are_forgotten_ever_later(tmp_path: Path) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    waits = []
    now = 100.0
    for _ in range(4):
        waits.append(cleaned_up_after(now, clean_up, pacemaker))
        now += waits[-1] + 20.0
    assert waits == [3.0, 10.0, 20.0, 40.0]


def test_a_split_brain_long_after_the_last_one_bans_a_node_no_longer(tmp_path: Path) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    waits = [cleaned_up_after(minute * 60.0, clean_up, pacemaker) for minute in range(1, 6)]
    assert waits == [3.0] * 5


def running(now: float, **changes: Any) -> Sight:
    """Granted here long ago and running, while Pacemaker shows an old failure of it here."""
    here = with_view(failed_here=frozenset({"eip"}), running_on={"eip": frozenset({"n1"})})
    base = at(now, pacemaker=here, words={"eip": Word("started", 5.0, term=3)})
    return dataclasses.replace(base, last_roles={"eip": "started"}, **changes)


def test_a_failure_that_a_join_brought_back_is_forgotten_on_the_holder(tmp_path: Path) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    for now in (10.0, 11.0, 12.0):
        clean_up.step(running(now), 1_000)
    assert pacemaker.asked == ["--cleanup --resource eip --node n1"]


def test_nothing_is_forgotten_on_a_holder_while_others_may_run_it_or_it_was_not_granted(
    tmp_path: Path,
) -> None:
    twice = with_view(failed_here=frozenset({"eip"}), running_on={"eip": frozenset({"n1", "n2"})})
    changes: list[dict[str, Any]] = [
        {"links": {2: False}},
        {"pacemaker": twice},
        {"pacemaker_at": 4.0},
        {"words": {"eip": Word("started", 5.0)}},
        {"words": {"eip": Word("starting", 5.0)}},
    ]
    for index, change in enumerate(changes):
        pacemaker = Pacemaker()
        clean_up = CleanUp(str(tmp_path / f"debts{index}"), pacemaker.run, quiet, 0.0)
        for now in (10.0, 11.0, 12.0, 13.0):
            clean_up.step(dataclasses.replace(running(now), **change), 1_000)
        assert not pacemaker.asked


ENDS_THE_PAUSE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"status": status(ME)}),
    ({}, {"status": status(PEER, term=4)}),
    ({}, {"status": status(PEER, phase="moving")}),
    ({}, {"status": dataclasses.replace(status(PEER), table_id="new")}),
    ({}, {"status": dataclasses.replace(status(PEER), facts={ME: {"x": True}})}),
    ({"status": PAUSED}, {}),
    ({"status_trouble": "timeout"}, {}),
    ({"advanced_at": {ME: -20.0}}, {}),
    ({}, {"pacemaker": with_view(members=("n1", "n2", "n3"), failed_here=frozenset({"eip"}))}),
]


@pytest.mark.parametrize(("before", "after"), ENDS_THE_PAUSE)
def test_the_pause_ends_when_what_it_waited_out_has_changed(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    now = 100.0
    for _ in range(7):  # the pause has grown to its longest
        now += cleaned_up_after(now, clean_up, pacemaker) + 20.0
    clean_up.note("eip", now, began_at=now - 18.0)
    asked = len(pacemaker.asked)
    for _ in range(30):
        now += 1.0
        clean_up.step(at(now, **before), 1_000)
    assert len(pacemaker.asked) == asked, "it waits for a reason that nothing here tells of"
    for _ in range(4):
        now += 1.0
        clean_up.step(at(now, **after), 1_000)
    assert len(pacemaker.asked) == asked + 1


def test_what_changed_while_the_start_waited_ends_the_pause_too(tmp_path: Path) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    now = 100.0
    for _ in range(7):
        now += cleaned_up_after(now, clean_up, pacemaker) + 20.0
    clean_up.note("eip", now, began_at=now - 18.0)
    asked = len(pacemaker.asked)
    for _ in range(4):
        now += 1.0
        clean_up.step(at(now, status=status(PEER, term=4)), 1_000)
    assert len(pacemaker.asked) == asked + 1


def test_nothing_is_tried_that_would_be_refused_anyway(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [{"status": PAUSED}, {"advanced_at": {ME: -20.0}}]
    for index, change in enumerate(changes):
        pacemaker = Pacemaker()
        clean_up = CleanUp(str(tmp_path / f"debts{index}"), pacemaker.run, quiet, 0.0)
        clean_up.note("eip", 1.0)
        for now in range(10, 600):
            clean_up.step(at(float(now), **change), 1_000)
        assert not pacemaker.asked


def test_nothing_is_forgotten_on_a_view_that_only_stands(tmp_path: Path) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    clean_up.note("eip", 1.0)
    for now in range(10, 40):
        clean_up.step(at(float(now), pacemaker_trouble="no answer"), 1_000)
    assert not pacemaker.asked
