"""One suite for both stores: what the memory store promises is what DynamoDB does.

The simulation rests on the memory store; here it is held to the shipped store on the embedded AWS.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import builders
import pytest
from eip_arbiter.decision.snapshot import (
    MOST_FORMER,
    Node,
    Order,
    Phase,
    Refusal,
    Snapshot,
)
from eip_arbiter.ports import (
    Committed,
    LostRace,
    Recorded,
    StaleReport,
    Unregistered,
)

from simulation.both_stores import (
    NOW,
    Subject,
    granted,
    line,
    nothing,
    read,
    report,
    seen,
    unheld,
)


def test_an_unknown_cluster_is_not_there(subject: Subject, cluster_id: str) -> None:
    assert subject.store.read(cluster_id) is None
    assert subject.status(cluster_id) is None
    assert isinstance(subject.store.record_report(report(cluster_id), NOW), Unregistered)
    assert subject.store.record_instance_state(builders.instance_id(77), "stopped", NOW) is None


@pytest.mark.usefixtures("known")
def test_a_node_that_is_not_registered_is_told_so(subject: Subject, cluster_id: str) -> None:
    outcome = subject.store.record_report(report(cluster_id, 3), NOW)
    assert isinstance(outcome, Unregistered)


@pytest.mark.parametrize(
    ("incarnation", "seq", "taken"),
    [(1, 2, True), (2, 0, True), (1, 1, False), (1, 0, False), (0, 9, False)],
)
@pytest.mark.usefixtures("known")
def test_only_a_newer_report_is_taken(
    subject: Subject, cluster_id: str, incarnation: int, seq: int, taken: bool
) -> None:
    outcome = subject.store.record_report(
        report(cluster_id, incarnation=incarnation, seq=seq), NOW + 5
    )
    if taken:
        assert isinstance(outcome, Recorded)
        newest = outcome.snapshot.nodes[builders.N1].report
        assert newest is not None
        assert (newest.incarnation, newest.seq, newest.received_at_ms) == (
            incarnation,
            seq,
            NOW + 5,
        )
    else:
        assert outcome == StaleReport(1, 1)


@pytest.mark.parametrize("late_ms", [0, 43_210])
@pytest.mark.usefixtures("known")
def test_it_is_kept_how_late_a_report_came(subject: Subject, cluster_id: str, late_ms: int) -> None:
    outcome = subject.store.record_report(report(cluster_id, seq=2), NOW + 5, late_ms)
    read = subject.store.read(cluster_id)
    assert isinstance(outcome, Recorded)
    assert read is not None
    for snapshot in (outcome.snapshot, read):
        newest = snapshot.nodes[builders.N1].report
        assert newest is not None
        assert (newest.late_ms, newest.said_at_ms) == (late_ms, NOW + 5 - late_ms)


@pytest.mark.usefixtures("known")
def test_an_alarm_begins_once_and_ends(subject: Subject, cluster_id: str) -> None:
    begins = []
    for seq, lost in ((2, ("n2",)), (3, ("n2",)), (4, ()), (5, ("n2",))):
        subject.store.record_report(report(cluster_id, seq=seq, lost=lost), NOW + seq)
        begins.append(read(subject, cluster_id).nodes[builders.N1].alarm_since_ms)
    assert begins == [NOW + 2, NOW + 2, None, NOW + 5]


def test_a_report_changes_no_version_and_a_commit_does(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    subject.store.record_report(report(cluster_id, seq=2), NOW)
    assert read(subject, cluster_id).version == known.version
    outcome = subject.store.commit(known, granted(known), ())
    assert isinstance(outcome, Committed)
    assert outcome.snapshot.version == known.version + 1
    assert outcome.snapshot.addresses["eip"] == granted(known)
    assert outcome.snapshot.addresses["vip"] == known.addresses["vip"]


def test_a_commit_is_lost_to_another_commit(subject: Subject, known: Snapshot) -> None:
    subject.store.commit(known, granted(known, "vip"), ())
    assert isinstance(subject.store.commit(known, granted(known), seen(known)), LostRace)


def test_a_commit_is_lost_to_a_newer_report_it_rested_on(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    subject.store.record_report(report(cluster_id, 2, seq=2), NOW)
    assert isinstance(subject.store.commit(known, granted(known), seen(known)), LostRace)
    on_the_other = tuple(s for s in seen(known) if s.instance_id == builders.N1)
    assert isinstance(subject.store.commit(known, granted(known), on_the_other), Committed)


def test_a_settlement_keeps_an_order_that_came_meanwhile(subject: Subject, known: Snapshot) -> None:
    moving = subject.store.commit(known, granted(known), ())
    assert isinstance(moving, Committed)
    order = Order("o-1", builders.N2, force=True, issued_at_ms=NOW, until_ms=NOW + 9)
    address = moving.snapshot.addresses["eip"]
    ordered = subject.store.commit(moving.snapshot, replace(address, order=order), ())
    assert isinstance(ordered, Committed)
    settled = replace(
        address,
        phase=Phase.SETTLED,
        association_id="eipassoc-1",
        interface_id="eni-1",
        changed_at_ms=NOW + 3,
    )
    outcome = subject.store.settle(moving.snapshot, settled)
    assert isinstance(outcome, Committed)
    assert outcome.snapshot.addresses["eip"] == replace(settled, order=order)
    assert isinstance(subject.store.settle(moving.snapshot, settled), LostRace)


def test_a_settlement_of_a_move_that_somebody_else_has_taken_over_is_lost(
    subject: Subject, known: Snapshot
) -> None:
    moving = subject.store.commit(known, granted(known), ())
    assert isinstance(moving, Committed)
    address = moving.snapshot.addresses["eip"]
    later = replace(address, deadline_ms=address.deadline_ms + 1)
    resumed = subject.store.commit(moving.snapshot, later, ())
    assert isinstance(resumed, Committed)
    settled = replace(address, phase=Phase.SETTLED, changed_at_ms=NOW + 3)
    assert isinstance(subject.store.settle(moving.snapshot, settled), LostRace)
    assert isinstance(subject.store.settle(resumed.snapshot, settled), Committed)


def test_a_settlement_of_a_former_term_or_release_is_lost(
    subject: Subject, known: Snapshot
) -> None:
    first = subject.store.commit(known, granted(known), ())
    assert isinstance(first, Committed)
    address = first.snapshot.addresses["eip"]
    second = subject.store.commit(first.snapshot, replace(address, term=2), ())
    assert isinstance(second, Committed)
    settled = replace(address, phase=Phase.SETTLED)
    assert isinstance(subject.store.settle(first.snapshot, settled), LostRace)
    # A release keeps the term, so the time of the change tells the two apart.
    later = replace(address, term=2, holder=None, changed_at_ms=NOW + 1)
    subject.store.commit(second.snapshot, later, ())
    assert isinstance(subject.store.settle(second.snapshot, replace(settled, term=2)), LostRace)


def test_a_node_that_registers_again_keeps_its_reports_and_the_grant(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    subject.store.commit(known, granted(known), ())
    before = read(subject, cluster_id)
    node = replace(builders.node(1, None), interface_id="eni-new", priority=5, nofailover=True)
    subject.store.register(cluster_id, node, (unheld(), unheld("third", 2)))
    after = read(subject, cluster_id)
    assert after.version == before.version + 1
    assert after.addresses == {**before.addresses, "third": unheld("third", 2)}
    assert after.nodes[builders.N1] == replace(node, report=before.nodes[builders.N1].report)


@pytest.mark.usefixtures("known")
def test_ec2s_newest_word_stands(subject: Subject, cluster_id: str) -> None:
    said = (("stopping", 2), ("pending", 1), ("stopped", 2), ("stopping", 2))  # in one second
    for state, after_ms in said:
        subject.store.record_instance_state(builders.N1, state, NOW + after_ms)
    # Both stores in one table: another test's cluster may have this instance by now.
    snapshot = subject.store.record_instance_state(builders.N1, "late", NOW)
    assert snapshot is not None
    evidence = snapshot.nodes[builders.N1].ec2
    assert evidence is not None
    assert (evidence.state, evidence.at_ms, evidence.incarnation) == ("stopped", NOW + 2, 1)
    assert cluster_id


def test_a_pause_is_lost_to_a_commit_and_kept_by_what_follows(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    paused = subject.store.pause(known, NOW + 60_000)
    assert isinstance(paused, Committed)
    assert isinstance(subject.store.pause(known, 0), LostRace)
    subject.store.commit(paused.snapshot, granted(paused.snapshot), ())
    subject.store.record_report(report(cluster_id, seq=9), NOW)
    assert read(subject, cluster_id).paused_until_ms == NOW + 60_000


def test_nodes_read_the_same_of_both(subject: Subject, cluster_id: str, known: Snapshot) -> None:
    address = granted(
        known,
        order=Order("o-1", builders.N2, force=False, issued_at_ms=NOW, until_ms=NOW + 9),
        refusal=Refusal(builders.N2, NOW),
    )
    subject.store.commit(known, address, ())
    status = subject.status(cluster_id)
    assert status is not None
    found = status.addresses["eip"]
    assert (found.holder, found.term, found.phase) == (builders.N1, 1, "moving")
    assert (found.order_id, found.order_target, found.order_until_ms) == (
        "o-1",
        builders.N2,
        NOW + 9,
    )
    assert found.refused_claimant == builders.N2
    assert status.last_reports == {builders.N1: (1, 1), builders.N2: (1, 1)}
    assert status.node_names == {builders.N1: "n1", builders.N2: "n2"}


@pytest.mark.parametrize("count", [2, 10])
def test_of_racing_commits_one_wins(
    subject: Subject, cluster_id: str, known: Snapshot, count: int
) -> None:
    outcomes: list[Any] = []

    def commit(number: int) -> Callable[[], None]:
        address = granted(known, rule=f"R{number:03d}")
        return lambda: outcomes.append((address, subject.store.commit(known, address, seen(known))))

    subject.at_once([commit(number) for number in range(count)])
    won = [address for address, outcome in outcomes if isinstance(outcome, Committed)]
    assert len(won) == 1
    assert len(outcomes) == count
    assert read(subject, cluster_id).addresses["eip"] == won[0]


@pytest.mark.parametrize("count", [2, 10])
@pytest.mark.usefixtures("known")
def test_of_racing_reports_the_newest_stays(subject: Subject, cluster_id: str, count: int) -> None:
    order = random.Random(count).sample(range(2, 2 + count), count)  # noqa: S311 - no secret
    subject.at_once(
        [
            lambda seq=seq: subject.store.record_report(report(cluster_id, seq=seq), NOW + seq)  # type: ignore[misc]
            for seq in order
        ]
    )
    newest = read(subject, cluster_id).nodes[builders.N1].report
    assert newest is not None
    assert newest.seq == max(order)


def test_a_node_that_is_forgotten_leaves_nothing_but_what_others_said(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    subject.store.record_report(report(cluster_id, seq=2, lost=("n2",)), NOW)
    subject.store.record_instance_state(builders.N1, "terminated", NOW)
    before = read(subject, cluster_id)
    outcome = subject.store.forget(before, (builders.N1,))
    assert isinstance(outcome, Committed)
    assert outcome.snapshot == read(subject, cluster_id)
    assert outcome.snapshot.version == before.version + 1
    assert set(outcome.snapshot.nodes) == set(known.nodes) - {builders.N1}
    assert outcome.snapshot.addresses == before.addresses
    late = report(cluster_id, seq=3)
    assert isinstance(subject.store.record_report(late, NOW), Unregistered)
    assert isinstance(subject.store.forget(before, (builders.N2,)), LostRace)


def test_who_comes_back_after_it_was_forgotten_is_not_heard_with_an_older_word(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    node = replace(known.nodes[builders.N1], report=None)
    subject.store.record_report(report(cluster_id, seq=5), NOW)
    assert isinstance(subject.store.forget(read(subject, cluster_id), (builders.N1,)), Committed)
    subject.store.register(cluster_id, node, ())
    assert read(subject, cluster_id).nodes[builders.N1].report is None
    meanwhile = subject.store.forget(read(subject, cluster_id), (builders.N2,))
    assert isinstance(meanwhile, Committed)
    for late in (4, 5):
        outcome = subject.store.record_report(report(cluster_id, seq=late), NOW + 1)
        assert outcome == StaleReport(1, 5)
    newer = subject.store.record_report(report(cluster_id, seq=6), NOW + 1)
    assert isinstance(newer, Recorded)
    again = subject.store.forget(newer.snapshot, (builders.N1,))
    assert isinstance(again, Committed)
    assert again.snapshot.former[builders.N1].seq == 6
    assert again.snapshot == read(subject, cluster_id)


def test_nobody_is_forgotten_who_has_said_more_meanwhile(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    subject.store.record_report(report(cluster_id, seq=2), NOW)
    assert isinstance(subject.store.forget(known, (builders.N1,)), LostRace)


@pytest.mark.usefixtures("known")
def test_only_the_last_ones_that_were_forgotten_are_remembered(
    subject: Subject, cluster_id: str
) -> None:
    for number in range(10, 10 + 2 * MOST_FORMER):
        instance = f"i-{number:017d}"
        subject.store.register(cluster_id, Node(instance, f"eni-{number}", ("10.0.0.9",)), ())
        said = replace(report(cluster_id, seq=number), instance_id=instance)
        subject.store.record_report(said, NOW + number)
        assert isinstance(subject.store.forget(read(subject, cluster_id), (instance,)), Committed)
    last = range(10 + MOST_FORMER, 10 + 2 * MOST_FORMER)
    assert [f.seq for f in read(subject, cluster_id).former.values()] == list(last)


def test_a_line_waits_from_its_commit_until_it_was_told(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    moving = subject.store.commit(known, granted(known), (), line(known))
    assert isinstance(moving, Committed)
    assert moving.snapshot.waiting == (line(known),)
    paused = subject.store.pause(moving.snapshot, NOW + 9, line(moving.snapshot, kind="note"))
    assert isinstance(paused, Committed)
    both = (line(known), line(moving.snapshot, kind="note"))
    assert paused.snapshot.waiting == both
    subject.store.record_report(report(cluster_id, seq=2), NOW)
    assert read(subject, cluster_id).waiting == both
    address = replace(granted(known), phase=Phase.SETTLED)
    settled = subject.store.settle(paused.snapshot, address, [known.version + 1])
    assert isinstance(settled, Committed)
    assert settled.snapshot.waiting == both[1:]
    subject.store.drop_waiting(cluster_id, [line.version for line in both])
    left = read(subject, cluster_id)
    assert (left.waiting, left.version) == ((), settled.snapshot.version)
    again = subject.store.commit(left, granted(left), (), line(left))
    assert isinstance(again, Committed)
    assert again.snapshot.waiting == (line(left),)
    subject.store.drop_waiting(f"{cluster_id}-unknown", [1])


def test_a_write_that_lost_leaves_no_line(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    subject.store.pause(known, NOW)
    for write in writes(subject, known, told=True).values():
        assert write() == LostRace()
    assert read(subject, cluster_id).waiting == ()


def writes(subject: Subject, known: Snapshot, *, told: bool) -> dict[str, Callable[[], Any]]:
    """Every change on a version, with a line of history or without."""
    entry = line(known) if told else None
    return {
        "commit": lambda: subject.store.commit(known, granted(known), seen(known), entry),
        "pause": lambda: subject.store.pause(known, NOW + 60_000, entry),
        "resume": lambda: subject.store.pause(known, 0, entry),
        "forget": lambda: subject.store.forget(known, (builders.N2,), entry),
    }


@pytest.mark.parametrize("told", [True, False], ids=["with a line", "without"])
@pytest.mark.parametrize("name", ["commit", "pause", "resume", "forget"])
class TestTheClientsOwnRetry:
    """A write whose reply was lost is sent again by the client, and meets its own success."""

    def test_finds_that_it_was_done(
        self, subject: Subject, cluster_id: str, known: Snapshot, name: str, told: bool
    ) -> None:
        outcome = subject.retried(writes(subject, known, told=told)[name], nothing)
        assert isinstance(outcome, Committed)
        assert outcome.snapshot == read(subject, cluster_id)
        assert outcome.snapshot.version == known.version + 1
        assert writes(subject, known, told=told)[name]() == LostRace(), "nobody else did it"

    def test_finds_a_report_that_came_meanwhile(
        self, subject: Subject, cluster_id: str, known: Snapshot, name: str, told: bool
    ) -> None:
        newer = report(cluster_id, 1, seq=9)
        outcome = subject.retried(
            writes(subject, known, told=told)[name],
            lambda: subject.store.record_report(newer, NOW),
        )
        assert isinstance(outcome, Committed)

    def test_is_not_sure_once_others_wrote(
        self, subject: Subject, cluster_id: str, known: Snapshot, name: str, told: bool
    ) -> None:
        def others() -> None:
            now = read(subject, cluster_id)
            address = replace(granted(now), term=7)
            after = subject.store.commit(now, address, ())
            assert isinstance(after, Committed)
            subject.store.pause(after.snapshot, NOW + 77)

        outcome = subject.retried(writes(subject, known, told=told)[name], others)
        known_by_its_line = told and name == "forget"
        if known_by_its_line:
            assert isinstance(outcome, Committed)
        else:
            assert outcome == LostRace(unsure=True)


def test_what_somebody_else_wrote_is_not_taken_for_a_retrys_own(
    subject: Subject, known: Snapshot
) -> None:
    other = subject.store.pause(known, NOW + 60_000, line(known, sentence="pause: by bob"))
    assert isinstance(other, Committed)
    mine = line(known, sentence="pause: by alice")
    outcome = subject.retried(lambda: subject.store.pause(known, NOW + 60_000, mine), nothing)
    assert outcome == LostRace()


@pytest.mark.usefixtures("known")
def test_a_report_that_the_client_sends_twice_is_recorded(
    subject: Subject, cluster_id: str
) -> None:
    said = report(cluster_id, seq=2)
    outcome = subject.retried(lambda: subject.store.record_report(said, NOW + 5, 7), nothing)
    assert isinstance(outcome, Recorded)
    assert outcome.snapshot == read(subject, cluster_id)
    doubled = subject.retried(lambda: subject.store.record_report(said, NOW + 6, 8), nothing)
    assert doubled == StaleReport(1, 2), "another delivery is another write"


def test_a_settlement_that_the_client_sends_twice_is_done(
    subject: Subject, known: Snapshot
) -> None:
    moving = subject.store.commit(known, granted(known), (), line(known))
    assert isinstance(moving, Committed)
    settled = replace(
        granted(known), phase=Phase.SETTLED, association_id="eipassoc-1", changed_at_ms=NOW + 3
    )
    told = [known.version + 1]
    outcome = subject.retried(lambda: subject.store.settle(moving.snapshot, settled, told), nothing)
    assert isinstance(outcome, Committed)
    assert outcome.snapshot.addresses["eip"] == settled
    assert outcome.snapshot.waiting == ()
    later = replace(settled, changed_at_ms=NOW + 4)
    assert (
        subject.retried(lambda: subject.store.settle(moving.snapshot, later), nothing) == LostRace()
    )


def test_what_a_forgotten_node_held_is_with_nobody(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    committed = subject.store.commit(known, granted(known), ())
    assert isinstance(committed, Committed)
    held = committed.snapshot.addresses["eip"]
    outcome = subject.store.forget(committed.snapshot, (builders.N1,))
    assert isinstance(outcome, Committed)
    assert outcome.snapshot == read(subject, cluster_id)
    after = outcome.snapshot.addresses
    assert after["eip"] == replace(held, holder=None, phase=Phase.SETTLED)
    assert after["vip"] == known.addresses["vip"]
    # A move to it that ends now has nothing to settle.
    assert isinstance(subject.store.settle(committed.snapshot, held), LostRace)


def test_addresses_are_written_anew_all_at_once_unless_somebody_was_faster(
    subject: Subject, cluster_id: str, known: Snapshot
) -> None:
    renamed = {"other": replace(known.addresses["eip"], resource="other", term=4)}
    outcome = subject.store.readdress(known, renamed)
    assert isinstance(outcome, Committed)
    assert outcome.snapshot == read(subject, cluster_id)
    assert outcome.snapshot.addresses == renamed
    assert outcome.snapshot.nodes == known.nodes
    assert isinstance(subject.store.readdress(known, known.addresses), LostRace)
    old = subject.store.settle(known, replace(known.addresses["eip"], phase=Phase.SETTLED))
    assert isinstance(old, LostRace)


def test_a_registration_says_where_the_instance_was_before(
    subject: Subject, cluster_id: str
) -> None:
    node = replace(builders.node(1, None), instance_id=f"i-{abs(hash(cluster_id)):x}")
    first = subject.store.register(cluster_id, node, (unheld(),))
    assert first is None
    assert subject.store.register(cluster_id, node, ()) == cluster_id
    assert subject.store.register(f"{cluster_id}-b", node, (unheld(),)) == cluster_id
