"""How the agent has Pacemaker follow an operator's order."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from agent.conclude.test_view import ME, PEER, sight, status, with_view
from agent.followup.followed import Pacemaker, at, quiet
from eip_agent.followup.orders import Orders
from eip_agent.remember.sight import PacemakerView, Sight, Word
from needs import needed

CIB = """<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" admin_epoch="0" epoch="1"
 num_updates="0" have-quorum="1"><configuration><crm_config/><nodes>
 <node id="1" uname="n1"/><node id="2" uname="n2"/><node id="3" uname="n3"/></nodes>
 <resources><primitive id="eip" class="ocf" provider="heartbeat" type="Dummy"/></resources>
 <constraints/></configuration><status>
 <node_state id="2" uname="n2" in_ccm="true" crmd="online" join="member" expected="member"><lrm
 id="2"><lrm_resources><lrm_resource id="eip" type="Dummy" class="ocf" provider="heartbeat">
 <lrm_rsc_op id="eip_last_0" operation_key="eip_start_0" operation="start" call-id="5"
 rc-code="0" op-status="0" interval="0" transition-key="1:1:0:00000000-0000-0000-0000-000000000000"
 transition-magic="0:0;1:1:0:00000000-0000-0000-0000-000000000000" on_node="n2"/></lrm_resource>
 </lrm_resources></lrm></node_state>
 <node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"/>
 <node_state id="3" uname="n3" in_ccm="true" crmd="online" join="member" expected="member"/>
 </status></cib>"""


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
    assert pacemaker.asked[4:] == [f"--clear --resource {name}" for name in ("eip", "vip")]


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


def test_on_a_view_that_only_stands_nothing_is_asked_and_nothing_is_done() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    contradicted = {"eip": Word("started", 50.0)}, {"eip": 60.0}
    orders.step(ordered(pacemaker_trouble="no answer"), 1_000)
    orders.step(ordered(pacemaker_trouble="no answer", last_roles={"eip": "started"}), 1_000)
    orders.step(
        ordered(
            pacemaker_trouble="no answer", words=contradicted[0], contradicted_since=contradicted[1]
        ),
        1_000,
    )
    assert not pacemaker.asked
    assert orders.progress is not None
    assert orders.progress.state == "seen"
    orders.step(ordered(), 1_000)
    assert len(pacemaker.asked) == 2


def test_what_a_lost_target_had_pacemaker_do_is_taken_back_once() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    ordered = status(PEER, order_id="ops-1", order_target=PEER, order_until_ms=99)
    orders.step(at(1.0, status=ordered), 0)
    assert pacemaker.asked == [], "its target is in sight and does so itself"
    lost = with_view(members=("n1",), lost=frozenset({"n2"}))
    pacemaker.trouble = "exit status 124"
    orders.step(at(2.0, status=ordered, pacemaker=lost), 0)
    pacemaker.trouble = ""
    for now in (3.0, 4.0):
        orders.step(at(now, status=ordered, pacemaker=lost), 0)
    both = [f"--clear --resource eip --node {node}" for node in ("n1", "n2")]
    assert pacemaker.asked == both * 2, "until it succeeds, and then no more"


def test_a_node_that_a_move_did_not_ban_takes_nothing_back() -> None:
    pacemaker = Pacemaker()
    told: list[str] = []
    orders = Orders(pacemaker.run, lambda event, **_: told.append(event))
    ordered = status(PEER, order_id="ops-1", order_target=PEER, order_until_ms=99)
    lost = with_view(members=("n1",), lost=frozenset({"n2"}))
    idle = {"words": {"eip": Word("stopped", -100.0)}}
    for now in (1.0, 2.0, 3.0):
        orders.step(at(now, status=ordered, pacemaker=lost, **idle), 0)
    assert pacemaker.asked == []
    assert told == [], "nor does it say so"


def test_a_ban_is_taken_back_where_the_order_was_read_only_after_pacemaker_followed() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    ordered = status(PEER, order_id="ops-1", order_target=PEER, order_until_ms=99)
    alone = with_view(members=("n1",), lost=frozenset({"n2"}), roles={"eip": "stopped"})
    watched = {"words": {}, "status": ordered, "pacemaker": alone}
    orders.step(at(100.0, **watched, ran_here_at={"eip": 40.0}), 0)
    assert pacemaker.asked == [], "it left this node before any move that still holds"
    Orders(pacemaker.run, quiet).step(at(100.0, **watched, ran_here_at={"eip": 41.0}), 0)
    assert pacemaker.asked == [f"--clear --resource eip --node {node}" for node in ("n1", "n2")]


def test_until_ec2_has_it_here_pacemaker_is_not_asked_to_follow() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    moving = status(ME, order_id="o1", order_target=ME, order_until_ms=5_000, phase="moving")
    orders.step(ordered(status=moving), 1_000)
    assert pacemaker.asked == []
    orders.step(ordered(), 1_000)
    assert len(pacemaker.asked) == 2


def test_an_agent_that_starts_anew_takes_back_what_is_over(tmp_path: Path) -> None:
    path, pacemaker = str(tmp_path / "orders.json"), Pacemaker()
    Orders(pacemaker.run, quiet, path).step(ordered(), 1_000)
    assert len(pacemaker.asked) == 2
    over = ordered(status=status(PEER))
    Orders(pacemaker.run, quiet, path).step(over, 1_000)
    assert pacemaker.asked[2:] == ["--clear --resource eip"]
    Orders(pacemaker.run, quiet, path).step(over, 1_000)
    assert len(pacemaker.asked) == 3, "only once"


def test_what_a_lost_target_had_pacemaker_do_is_taken_back_after_a_start_anew(
    tmp_path: Path,
) -> None:
    path, pacemaker = str(tmp_path / "orders.json"), Pacemaker()
    standing = status(PEER, order_id="ops-1", order_target=PEER, order_until_ms=99)
    Orders(pacemaker.run, quiet, path).step(at(1.0, status=standing), 0)
    anew = Orders(pacemaker.run, quiet, path)
    lost = with_view(members=("n1",), lost=frozenset({"n2"}))
    for now in (2.0, 3.0):
        anew.step(at(now, status=status(PEER), pacemaker=lost), 0)
    both = [f"--clear --resource eip --node {node}" for node in ("n1", "n2")]
    assert pacemaker.asked == both


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"moved": 1}',
        '{"elsewhere": {"o": ["eip"]}}',
    ],
)
def test_a_damaged_memory_of_orders_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "orders.json"
    path.write_text(text)
    pacemaker = Pacemaker()
    Orders(pacemaker.run, quiet, str(path)).step(ordered(), 1_000)
    assert len(pacemaker.asked) == 2


def test_a_disk_that_takes_no_memory_of_orders_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    pacemaker = Pacemaker()
    path = str(tmp_path / "missing" / "orders.json")
    Orders(pacemaker.run, lambda event, **_: told.append(event), path).step(ordered(), 1_000)
    assert "The orders under way could not be kept" in told
    assert len(pacemaker.asked) == 2


def test_a_move_after_which_it_runs_nowhere_is_taken_back() -> None:
    pacemaker = Pacemaker()
    orders = Orders(pacemaker.run, quiet)
    start = ordered().now
    elsewhere = with_view(roles={"eip": "stopped"}, running_on={"eip": frozenset({"n2"})})
    orders.step(ordered(pacemaker=elsewhere, pacemaker_at=start), 1_000)
    nowhere = dataclasses.replace(elsewhere, running_on={})
    busy = dataclasses.replace(nowhere, under_way=True)
    part = dataclasses.replace(
        nowhere, roles={"eip": "starting"}, incomplete={"eip": "stopped"}, under_way=False
    )
    looks: list[tuple[PacemakerView, float]]
    looks = [(nowhere, 1), (elsewhere, 2), (nowhere, 3), (busy, 12), (nowhere, 13), (part, 14)]
    looks += [(nowhere, 15), (nowhere, 24.9)]
    for view, after in looks:
        now = start + after
        orders.step(ordered(now=now, pacemaker_at=now, pacemaker=view), 1_000)
    clears = [line for line in pacemaker.asked if line.startswith("--clear")]
    assert clears == []
    now = start + 25.0
    assert orders.step(ordered(now=now, pacemaker_at=now, pacemaker=nowhere), 1_000)
    clears = [line for line in pacemaker.asked if line.startswith("--clear")]
    assert clears == [f"--clear --resource eip --node {node}" for node in ("n1", "n2")]
    assert orders.progress is not None
    assert orders.progress.state == "failed"


def test_an_operators_own_ban_outlives_an_order(tmp_path: Path) -> None:
    """With Pacemaker's own crm_resource, on a CIB in a file."""
    needed("Pacemaker's crm_resource", there=shutil.which("crm_resource") is not None)
    cib = tmp_path / "cib.xml"
    cib.write_text(CIB)

    def run(arguments: list[str]) -> str:
        environment = {**os.environ, "CIB_file": str(cib)}
        done = subprocess.run(
            ["crm_resource", *arguments], env=environment, capture_output=True, check=False
        )
        return done.stderr.decode() if done.returncode else ""

    assert not run(["--ban", "--resource", "eip", "--node", "n3"])
    orders = Orders(run, quiet)
    there = with_view(roles={"eip": "stopped"}, running_on={"eip": frozenset({"n2"})})
    orders.step(ordered(pacemaker=there), 1_000)
    assert orders.progress is not None
    assert orders.progress.state == "moving", orders.progress.detail
    assert "cli-ban-eip-on-n2" in cib.read_text()
    orders.step(ordered(words={"eip": Word("started", 99.0)}), 1_000)
    assert orders.progress.state == "done", orders.progress.detail
    left = re.findall(r'id="(cli-[a-z]+-eip[a-z0-9-]*)"', cib.read_text())
    assert left == ["cli-ban-eip-on-n3"]
