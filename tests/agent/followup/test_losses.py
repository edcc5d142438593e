"""When the agent tells Pacemaker that a copy here lost its address."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from agent.conclude.test_view import ME, PEER, status, with_view
from eip_agent.followup.clean_up import CleanUp
from eip_agent.followup.losses import Losses
from eip_agent.remember.sight import Sight, Word

if TYPE_CHECKING:
    from pathlib import Path
from agent.followup.followed import Pacemaker, at, quiet


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
