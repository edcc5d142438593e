"""The parser reads what Pacemaker and Corosync really printed (`samples/`), and what they may."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from eip_agent.observe.corosync import CommandLinks, parse_cfgtool
from eip_agent.observe.pacemaker import parse_crm_mon, parse_quorum_mode
from eip_agent.remember.sight import PacemakerView

SAMPLES = Path(__file__).parents[1] / "samples"


def sample(state: str, node: str) -> PacemakerView:
    return parse_crm_mon((SAMPLES / f"{state}.{node}.xml").read_text(), node, ["eip"])


@pytest.mark.parametrize(
    ("name", "node", "state", "members", "lost", "left", "role"),
    [
        ("healthy", "n1", "online", ("n1", "n2"), set(), set(), "started"),
        ("healthy", "n2", "online", ("n1", "n2"), set(), set(), "stopped"),
        ("node_lost", "n2", "online", ("n2",), {"n1"}, set(), "started"),
        ("peer_stopped_gracefully", "n1", "online", ("n1",), set(), {"n2"}, "started"),
        ("splitbrain", "n1", "online", ("n1",), {"n2"}, set(), "started"),
        ("splitbrain", "n2", "online", ("n2",), {"n1"}, set(), "started"),
        ("standby", "n2", "standby", ("n1", "n2"), set(), set(), "stopped"),
        ("failed_monitor", "n1", "online", ("n1", "n2"), set(), set(), "started"),
        ("failed_monitor", "n2", "online", ("n1", "n2"), set(), set(), "stopped"),
        ("failed_stop_blocked", "n1", "standby", ("n1", "n2"), set(), set(), "failed"),
        ("failed_stop_blocked", "n2", "online", ("n1", "n2"), set(), set(), "stopped"),
        ("cold_start_alone", "n1", "online", ("n1",), set(), {"n2"}, "started"),
        ("api_outage_both_failed", "n1", "online", ("n1", "n2"), set(), set(), "stopped"),
    ],
)
def test_every_real_sample_is_read(
    *,
    name: str,
    node: str,
    state: str,
    members: tuple[str, ...],
    lost: set[str],
    left: set[str],
    role: str,
) -> None:
    view = sample(name, node)
    assert (view.state, view.members) == (state, members)
    assert (set(view.lost), set(view.left)) == (lost, left)
    assert view.roles == {"eip": role}
    assert view.node_ids == {"n1": 1, "n2": 2}


def test_a_node_without_pacemaker_is_offline() -> None:
    assert sample("peer_stopped_gracefully", "n2").state == "offline"


def test_quorum_and_the_dc_are_read() -> None:
    assert (sample("healthy", "n1").dc, sample("healthy", "n1").quorate) == ("n2", True)
    assert not sample("cold_start_alone", "n1").quorate


def test_a_failed_start_is_this_nodes_only() -> None:
    view = sample("api_outage_both_failed", "n1")
    other = parse_crm_mon((SAMPLES / "api_outage_both_failed.n1.xml").read_text(), "n9", ["eip"])
    assert (view.failed_here, other.state) == (frozenset({"eip"}), "unknown")
    assert sample("failed_stop_blocked", "n1").failed_here == frozenset()


@pytest.mark.parametrize(
    ("key", "failed"),
    [
        ("eip_start_0", {"eip"}),
        ("eip_monitor_10000", {"eip"}),
        ("eip:0_monitor_10000", {"eip"}),
        ("my_eip_start_0", {"my_eip"}),
        ("eip_stop_0", set()),
    ],
)
def test_a_failed_start_or_monitor_is_told_by_its_operations_key(
    key: str, failed: set[str]
) -> None:
    text = (SAMPLES / "api_outage_both_failed.n1.xml").read_text()
    one = f'<failures><failure op_key="{key}" node="n1" exitstatus="x" exitreason=""/></failures>'
    view = parse_crm_mon(
        re.sub(r"<failures>.*</failures>", one, text, flags=re.DOTALL), "n1", ["eip"]
    )
    assert view.failed_here == failed


def test_a_resource_that_failed_there_does_not_run_there_unharmed() -> None:
    assert sample("failed_stop_blocked", "n2").running_on == {"eip": frozenset()}
    assert sample("healthy", "n2").running_on == {"eip": frozenset({"n1"})}


def test_after_a_heal_a_waiting_start_there_does_not_look_like_ours() -> None:
    text = (SAMPLES / "heal_while_starting.n2.xml").read_text()
    holder, loser = (parse_crm_mon(text, node, ["eip"]) for node in ("n1", "n2"))
    assert (holder.roles, loser.roles) == ({"eip": "started"}, {"eip": "starting"})
    assert loser.running_on == {"eip": frozenset({"n1"})}


def test_after_a_heal_a_failed_start_there_is_no_failure_here() -> None:
    text = (SAMPLES / "heal_after_refusal.n2.xml").read_text()
    holder, loser = (parse_crm_mon(text, node, ["eip"]) for node in ("n1", "n2"))
    assert (holder.roles, loser.roles) == ({"eip": "started"}, {"eip": "failed"})


def test_after_a_heal_another_resources_failure_is_no_failure_of_this_one() -> None:
    """Its name may begin with this one's."""
    text = (SAMPLES / "heal_after_refusal.n2.xml").read_text()
    failed = '<failure op_key="eip_metrics_monitor_10000" node="n1" exitstatus="not running"/>'
    holder = parse_crm_mon(text.replace("</failures>", f"{failed}</failures>"), "n1", ["eip"])
    assert holder.roles == {"eip": "started"}
    assert holder.failed_here == {"eip_metrics"}


@pytest.mark.parametrize("text", ["", "Pacemaker is running", "<a", "<pacemaker-result/>"])
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    assert parse_crm_mon(text, "n1", ["eip"]).state == "unknown"


def built(resources: str, node: str = 'online="true"', options: str = "") -> PacemakerView:
    text = (
        f"<pacemaker-result><summary><cluster_options {options}/></summary><nodes>"
        f'<node name="n1" id="1" {node}/><node name="n2" id="2" online="true"/></nodes>'
        f"<resources>{resources}</resources></pacemaker-result>"
    )
    return parse_crm_mon(text, "n1", ["eip"])


def primitive(identity: str, role: str, node: str, extra: str = "") -> str:
    return f'<resource id="{identity}" role="{role}" {extra}><node name="{node}"/></resource>'


MEMBER_A = primitive("a", "Started", "n1")
COPY_THERE = primitive("eip", "Unpromoted", "n2")


@pytest.mark.parametrize(
    ("resources", "state", "top"),
    [
        (f"<group id='g'>{primitive('eip', 'Started', 'n1')}</group>", "started", "g"),
        (f"<clone id='c'>{primitive('eip', 'Promoted', 'n1')}</clone>", "started", "c"),
        (f"<clone id='c'>{primitive('eip', 'Master', 'n1')}</clone>", "started", "c"),
        (f"<clone id='c'>{primitive('eip:0', 'Unpromoted', 'n1')}</clone>", "stopped", "c"),
        (f"<clone id='c'>{primitive('eip', 'Slave', 'n1')}</clone>", "stopped", "c"),
        (primitive("eip", "Starting", "n1"), "starting", "eip"),
        (primitive("eip", "Stopping", "n1"), "started", "eip"),
        (primitive("eip", "Stopped", "n1", 'pending="Starting"'), "starting", "eip"),
        (primitive("eip", "Started", "n1", 'failed="true"'), "failed", "eip"),
        (primitive("eip", "Started", "n2"), "stopped", "eip"),
        (f"<group id='eip'>{MEMBER_A}{primitive('b', 'Started', 'n1')}</group>", "started", "eip"),
        (f"<group id='eip'>{MEMBER_A}<resource id='b' role='Stopped'/></group>", "starting", "eip"),
        (f"<clone id='c'>{COPY_THERE}{primitive('eip', 'Promoted', 'n1')}</clone>", "started", "c"),
    ],
)
def test_groups_clones_and_roles_become_one_state(resources: str, state: str, top: str) -> None:
    view = built(resources)
    assert (view.roles["eip"], view.tops["eip"]) == (state, top)


@pytest.mark.parametrize(
    ("node", "options", "state"),
    [
        ('online="true" pending="true"', "", "pending"),
        ('online="false"', "", "pending"),
        ('online="true" standby_onfail="true"', "", "standby"),
        ('online="true" maintenance="true"', "", "maintenance"),
        ('online="true"', 'maintenance-mode="true"', "maintenance"),
    ],
)
def test_the_nodes_own_state(node: str, options: str, state: str) -> None:
    assert built("", node, options).state == state


def test_red_node_health_is_a_failing_health_check() -> None:
    assert built("", 'online="true" health="red"').failing
    assert not built("", 'online="true" health="green"').failing


def test_the_quorum_mode_comes_from_the_flags() -> None:
    assert parse_quorum_mode((SAMPLES / "healthy.n1.quorumtool.txt").read_text()) == "two_node"
    alone = (SAMPLES / "cold_start_alone.n1.quorumtool.txt").read_text()
    assert parse_quorum_mode(alone) == "two_node"
    assert parse_quorum_mode("Flags:            Quorate ") == "majority"
    assert parse_quorum_mode("Flags:            2Node Quorate Qdevice ") == "device"
    assert parse_quorum_mode("Cannot initialize QUORUM service") == "unknown"


def test_cfgtool_tells_who_is_reachable() -> None:
    assert parse_cfgtool((SAMPLES / "healthy.n1.cfgtool.txt").read_text()) == {2: True}
    assert parse_cfgtool((SAMPLES / "splitbrain.n1.cfgtool.txt").read_text()) == {}
    assert parse_cfgtool("nodeid: 2 not reachable\n") == {2: False}


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("healthy.n1", {2: True}),
        ("splitbrain.n1", {2: False}),
        ("peer_stopped_gracefully.n2", None),
    ],
)
def test_the_command_tells_links_as_the_library_does(name: str, links: object) -> None:
    path = SAMPLES / f"{name}.cfgtool.txt"
    assert CommandLinks(["sh", "-c", f"cat {path}", "-"]).read([2]) == links


def test_nodes_without_corosync_are_nobodys_peers() -> None:
    guests = "".join(
        f'<node name="{name}" id="{name}" online="true" type="remote"/>'
        for name in ("httpd-bundle-0", "_worker")
    )
    text = f"""<pacemaker-result><summary><current_dc name="_n3" with_quorum="true"/></summary>
        <nodes>{guests}<node name="n1" id="1" online="true" type="member"/>
        <node name="_n3" id="3" online="true" type="member"/>
        <node name="n2" id="2" online="true" type="member"/></nodes>
        <status code="0"/></pacemaker-result>"""
    view = parse_crm_mon(text, "n1", ("eip",))
    assert view.members == ("n1", "n2")
    assert set(view.node_ids) == {"n1", "n2"}
    assert (view.dc, view.quorate) == (None, True), "a report may not name it"
