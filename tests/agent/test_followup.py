"""What the agent asks of Pacemaker, and when it keeps its hands off."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from agent.test_view import ME, PEER, sight, status, with_view
from eip_agent.followup import CleanUp, Losses, Orders
from eip_agent.view import Sight, Word

if TYPE_CHECKING:
    from pathlib import Path


class Pacemaker:
    """Notes what crm_resource is asked for; fails while `trouble` says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.trouble = ""

    def run(self, arguments: list[str]) -> str:
        self.asked.append(" ".join(arguments))
        return self.trouble


def quiet(_sentence: str, **_fields: object) -> None:
    """Takes the place of the journal."""


def at(now: float, **changes: Any) -> Sight:
    refused = with_view(failed_here=frozenset({"eip"}))
    base = sight(status=status(PEER), status_at=now, words={"eip": Word("stopped", 0.0)})
    changes = {"pacemaker": refused, "pacemaker_at": now, "now": now, **changes}
    return dataclasses.replace(base, **changes)


def test_a_refused_start_is_forgotten_once_the_cluster_has_been_whole_for_a_while(
    tmp_path: Path,
) -> None:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    clean_up.note("eip", 10.0)
    apart: dict[str, Any] = {"links": {2: False}, "advanced_at": {PEER: 11.0}}
    clean_up.step(at(11.0, **apart))
    clean_up.step(at(12.0))
    clean_up.step(at(13.0))
    assert not pacemaker.asked
    clean_up.step(at(14.0))
    assert pacemaker.asked == ["--cleanup --resource eip --node n1"]
    clean_up.step(at(15.0))
    assert len(pacemaker.asked) == 1
    clean_up.step(at(40.0, pacemaker=with_view()))
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
        clean_up.step(at(now, words={"eip": Word("starting", now)}))
    assert not pacemaker.asked


def test_refused_starts_are_remembered_across_restarts_and_tried_ever_more_rarely(
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
        clean_up.step(at(float(now)))
    assert 3 <= len(pacemaker.asked) <= 5
    assert CleanUp(path, pacemaker.run, quiet, 0.0).resources == ["eip"]
    clean_up.step(at(140.0, pacemaker=with_view()))
    clean_up.save()
    assert CleanUp(path, pacemaker.run, quiet, 0.0).resources == []


def test_what_failed_anew_during_a_step_is_not_taken_for_forgotten(tmp_path: Path) -> None:
    def run(_: list[str]) -> str:
        clean_up.note("vip", 40.0)
        return ""

    clean_up = CleanUp(str(tmp_path / "debts"), run, quiet, 0.0)
    clean_up.note("eip", 1.0)
    clean_up.note("vip", 24.0)
    clean_up.step(at(37.0))
    clean_up.step(at(40.0))
    assert clean_up.resources == ["eip", "vip"]


def cleaned_up_after(failed_at: float, clean_up: CleanUp, pacemaker: Pacemaker) -> float:
    """Seconds from a failure, in a cluster that is whole, until Pacemaker was told to forget it."""
    before = len(pacemaker.asked)
    clean_up.note("eip", failed_at, began_at=failed_at - 18.0)
    now = failed_at
    while len(pacemaker.asked) == before:
        now += 1.0
        clean_up.step(at(now))
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
        clean_up.step(running(now))
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
            clean_up.step(dataclasses.replace(running(now), **change))
        assert not pacemaker.asked


def ordered(**changes: Any) -> Sight:
    order = status(ME, order_id="o1", order_target=ME, order_until_ms=5_000)
    return dataclasses.replace(sight(status=order), **changes)


def test_an_order_moves_the_outermost_resource_once_and_clears_when_it_is_here() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    there = ordered(pacemaker=with_view(tops={"eip": "group"}))
    assert orders.step(there, 1_000)
    assert not orders.step(there, 1_000)
    assert pacemaker.asked == [
        "--cleanup --resource group --node n1",
        "--move --resource group --node n1 --lifetime PT1M --force",
    ]
    assert orders.progress is not None
    assert orders.progress.state == "moving"
    orders.step(ordered(words={"eip": Word("started", 99.0)}), 1_000)
    assert pacemaker.asked[2:] == ["--clear --resource group"]
    assert orders.progress.state == "done"


def test_two_orders_at_once_are_followed_each_by_itself() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    both = ordered()
    assert both.status is not None
    eip = both.status.addresses["eip"]
    vip = dataclasses.replace(eip, resource="vip", order_id="o-2")
    two = dataclasses.replace(both.status, addresses={"eip": eip, "vip": vip})
    roles = {"eip": "stopped", "vip": "stopped"}
    view = with_view(roles=roles)
    for _ in range(20):
        orders.step(dataclasses.replace(both, status=two, pacemaker=view), 1_000)
    assert [line.split()[:3] for line in pacemaker.asked] == [
        [what, "--resource", name] for name in ("eip", "vip") for what in ("--cleanup", "--move")
    ]
    started = {name: Word("started", 99.0) for name in ("eip", "vip")}
    for _ in range(5):
        orders.step(dataclasses.replace(both, status=two, words=started), 1_000)
    assert pacemaker.asked[4:] == ["--clear --resource eip", "--clear --resource vip"]


def test_of_two_orders_each_ones_progress_has_its_turn_in_a_report() -> None:
    orders = Orders(lambda arguments: "exit status 1" if "eip" in arguments else "", quiet)
    both = ordered()
    assert both.status is not None
    eip = both.status.addresses["eip"]
    vip = dataclasses.replace(eip, resource="vip", order_id="o-2")
    two = dataclasses.replace(both.status, addresses={"eip": eip, "vip": vip})
    told = []
    for _ in range(3):
        orders.step(dataclasses.replace(both, status=two), 1_000)
        assert orders.progress is not None
        told.append((orders.progress.id, orders.progress.state))
    assert told == [(eip.order_id, "failed"), ("o-2", "moving"), ("o-2", "moving")]


def test_an_order_that_pacemaker_forgot_at_a_join_is_asked_for_again() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    now = ordered().now
    orders.step(ordered(), 1_000)
    orders.step(ordered(now=now + 29.0), 1_000)
    apart: dict[str, Any] = {"links": {2: False}, "now": now + 31.0}
    orders.step(ordered(**apart), 1_000)
    assert len(pacemaker.asked) == 2
    orders.step(ordered(now=now + 31.0), 1_000)
    assert len(pacemaker.asked) == 4


def test_an_order_that_was_done_and_undone_by_a_join_is_asked_for_again() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    now = ordered().now
    orders.step(ordered(), 1_000)
    orders.step(ordered(words={"eip": Word("started", 99.0)}), 1_000)
    assert orders.progress is not None
    assert orders.progress.state == "done"
    asked = len(pacemaker.asked)
    # The control plane never heard of it: the order still stands, and so nobody else claims.
    kept_the_other = ordered(words={"eip": Word("stopped", 99.5)}, now=now + 31.0)
    orders.step(kept_the_other, 1_000)
    assert any("--move" in line for line in pacemaker.asked[asked:])


def test_an_order_that_is_withdrawn_leaves_no_ban_but_never_disturbs_a_start() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    orders.step(ordered(), 1_000)
    withdrawn = sight(status=status(ME))
    starting = {"eip": Word("starting", 99.0)}
    orders.step(dataclasses.replace(withdrawn, words=starting), 1_000)
    assert len(pacemaker.asked) == 2
    orders.step(withdrawn, 1_000)
    orders.step(withdrawn, 1_000)
    assert pacemaker.asked[2:] == ["--clear --resource eip"]


def test_orders_for_others_or_past_or_while_pacemaker_is_away_move_nothing() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    orders.step(ordered(), 6_000)
    orders.step(ordered(status=status(PEER, order_id="o", order_target=PEER)), 1_000)
    orders.step(ordered(pacemaker=with_view(state="standby")), 1_000)
    assert not pacemaker.asked


def test_a_move_that_pacemaker_refuses_is_reported_in_printable_text() -> None:
    pacemaker = Pacemaker()
    pacemaker.trouble = "exit status 1: \x1b[31mno\n"
    orders = Orders(pacemaker.run, quiet)
    orders.step(ordered(), 1_000)
    assert orders.progress is not None
    assert orders.progress.state == "failed"
    assert orders.progress.detail.isprintable()


def test_pacemaker_is_asked_again_after_a_refusal_where_the_address_is_already() -> None:
    pacemaker = Pacemaker()
    pacemaker.trouble = "exit status 102: Not connected"
    orders = Orders(pacemaker.run, quiet)
    now = ordered().now
    orders.step(ordered(), 1_000)
    pacemaker.trouble = ""
    orders.step(ordered(now=now + 29.0), 1_000)
    assert len(pacemaker.asked) == 2
    orders.step(ordered(now=now + 31.0), 1_000)
    assert orders.progress is not None
    assert (len(pacemaker.asked), orders.progress.state) == (4, "moving")


def test_a_refused_switchover_is_over() -> None:
    pacemaker = Pacemaker()
    pacemaker.trouble = "exit status 102: Not connected"
    orders = Orders(pacemaker.run, quiet)
    elsewhere = status(PEER, order_id="o1", order_target=ME, order_until_ms=5_000)
    orders.step(ordered(status=elsewhere), 1_000)
    orders.step(ordered(status=elsewhere, now=ordered().now + 31.0), 1_000)
    assert len(pacemaker.asked) == 2
    assert orders.progress is not None
    assert orders.progress.state == "failed"


def lost(term: int = 3, holder: str = PEER, **changes: Any) -> Sight:
    """n1 runs what was granted to n2, which is behind a cut."""
    started = {"eip": Word("started", 1.0, term=2, public_ip="203.0.113.7")}
    changes = {"links": {2: False}, **changes}
    return at(20.0, words=started, status=status(holder, term=term), **changes)


def losses(tmp_path: Path) -> tuple[Pacemaker, CleanUp, Losses]:
    pacemaker = Pacemaker()
    clean_up = CleanUp(str(tmp_path / "debts"), pacemaker.run, quiet, 0.0)
    return pacemaker, clean_up, Losses(pacemaker.run, clean_up, quiet)


def test_pacemaker_is_told_once_that_a_copy_lost_its_address_and_is_to_forget_it_later(
    tmp_path: Path,
) -> None:
    pacemaker, clean_up, watch = losses(tmp_path)
    s = lost()
    for now, read_at in ((20.0, 20.0), (21.0, 20.0), (22.0, 21.5), (23.0, 22.5)):
        assert bool(pacemaker.asked) == (now > 22.0), "one read is not enough"
        watch.step(dataclasses.replace(s, now=now, status_at=read_at))
    assert pacemaker.asked == ["--fail --resource eip --node n1"]
    assert clean_up.resources == ["eip"]


TWICE = with_view(running_on={"eip": frozenset({"n1", "n2"})})


def test_pacemaker_is_asked_to_look_at_a_lost_copy_until_it_has_seen_it(tmp_path: Path) -> None:
    pacemaker, clean_up, watch = losses(tmp_path)
    s = lost(links={2: True}, pacemaker=TWICE)
    for now in range(20, 32):
        watch.step(dataclasses.replace(s, now=float(now), status_at=float(now)))
    assert pacemaker.asked == ["--refresh --resource eip --node n1"] * 2
    assert clean_up.resources == [], "it is no failure"
    pacemaker.asked.clear()
    for change in ({"status": status(ME, term=3)}, {"pacemaker": with_view()}):
        for now in range(40, 60):
            alone = dataclasses.replace(s, now=float(now), status_at=float(now), **change)
            watch.step(alone)
    assert not pacemaker.asked


@pytest.mark.parametrize(
    "s",
    [
        lost(term=2),
        lost(holder=ME),
        lost(links={2: True}),
        lost(pacemaker=with_view(state="unknown")),
        dataclasses.replace(lost(), status=status(None, term=3)),
        dataclasses.replace(lost(), status_at=1.0),
        dataclasses.replace(lost(), status=status(PEER, term=3, order_target=PEER)),
        dataclasses.replace(lost(), words={"eip": Word("started", 1.0)}),
        dataclasses.replace(lost(), words={"eip": Word("stopped", 1.0, term=2)}),
    ],
    ids=[
        "the term of our grant",
        "we hold it",
        "Pacemaker sees both copies",
        "no Pacemaker to tell",
        "nobody holds it",
        "a read from before the start",
        "an order, which Pacemaker is asked to follow",
        "a grant that nobody remembers",
        "it is stopped already",
    ],
)
def test_nothing_less_than_a_later_grant_to_another_node_is_a_loss(
    s: Sight, tmp_path: Path
) -> None:
    pacemaker, _, watch = losses(tmp_path)
    watch.step(s)
    watch.step(dataclasses.replace(s, status_at=s.status_at + (s.status_at > 1.0)))
    assert not pacemaker.asked


def test_an_address_that_came_back_between_two_reads_was_not_lost(tmp_path: Path) -> None:
    pacemaker, _, watch = losses(tmp_path)
    for read_at, s in ((20.0, lost()), (21.0, lost(holder=ME, term=4)), (22.0, lost(term=5))):
        watch.step(dataclasses.replace(s, status_at=read_at))
    assert not pacemaker.asked


def test_a_failure_that_pacemaker_did_not_take_is_not_ours_to_clean_up(tmp_path: Path) -> None:
    pacemaker, clean_up, watch = losses(tmp_path)
    pacemaker.trouble = "exit status 1: no such node"
    watch.step(lost())
    watch.step(dataclasses.replace(lost(), status_at=21.0))
    assert pacemaker.asked
    assert clean_up.resources == []
