"""What the doctor says of Corosync and Pacemaker, by real outputs of their tools."""

from __future__ import annotations

import pytest
from agent.doctor.doctor_samples import CIB, CMAP, QUORUM, bad, edited, only
from eip_agent.doctor import cluster


def test_a_cluster_set_up_as_documented_has_nothing_to_do() -> None:
    assert bad(cluster.check_corosync(CMAP, QUORUM)) == []
    assert bad(cluster.check_pacemaker(CIB, ["eip"])) == []


@pytest.mark.parametrize(
    ("old", "new", "level", "says"),
    [
        (
            "config.totem.token (u32) = 1000",
            "config.totem.token (u32) = 9000",
            "warning",
            "10.2 to 11.2 s",
        ),
        (
            "config.totem.token (u32) = 1000",
            "config.totem.token (u32) = 300",
            "warning",
            "token 300 ms",
        ),
        ("\nquorum.two_node (u8) = 1\n", "\n", "failure", "two nodes without two_node"),
        ("nodelist.node.1.nodeid (u32) = 2\n", "", "failure", "no other node"),
        (
            "nodelist.node.1.nodeid (u32) = 2\n",
            "nodelist.node.1.nodeid (u32) = 2\nnodelist.node.2.nodeid (u32) = 3\n",
            "failure",
            "there are 3 nodes: each of them alone is quorate",
        ),
    ],
)
def test_corosyncs_settings(old: str, new: str, level: str, says: str) -> None:
    found = only(cluster.check_corosync(edited(CMAP, old, new), QUORUM))
    assert found[0] == level
    assert says in found[1]


def test_debians_default_token_is_only_worth_a_note() -> None:
    text = edited(CMAP, "config.totem.token (u32) = 1000", "config.totem.token (u32) = 3000")
    text = edited(text, "totem.consensus (u32) = 1200", "totem.consensus (u32) = 3600")
    token = next(cluster.check_corosync(text, QUORUM))
    assert token.level == "note"
    assert "after 6.6 to 7.6 s" in token.found


def test_a_quorum_device_makes_two_nodes_without_two_node_well() -> None:
    text = edited(CMAP, "\nquorum.two_node (u8) = 1\n", "\n")
    quorum = edited(QUORUM, "2Node Quorate WaitForAll", "Quorate Qdevice")
    assert bad(cluster.check_corosync(text, quorum)) == []
    lost = edited(QUORUM, "Quorate:          Yes", "Quorate:          No")
    assert "not quorate now" in only(cluster.check_corosync(CMAP, lost))[1]


@pytest.mark.parametrize("text", ["", "Failed to initialize the cmap API. Error CS_ERR_LIBRARY"])
def test_tools_that_say_nothing_are_a_failure(text: str) -> None:
    assert only(cluster.check_corosync(text, ""))[0] == "failure"
    assert only(cluster.check_pacemaker(text, ["eip"]))[0] == "failure"


STICKINESS = (
    '<nvpair id="default-resource-stickiness" name="resource-stickiness" value="INFINITY"/>'
)

ALERT = '<alert id="eip-agent" path="/usr/lib/eip-agent/eip-agent-alert"/>'
MULTIPLE = 'name="multiple-active" value="block"'
STONITH_OFF = 'name="stonith-enabled" value="false"'
DEADTIME = '<nvpair id="option-dc-deadtime" name="dc-deadtime" value="2s"/>'
CONSTRAINT = '<rsc_location id="cli-ban-eip-on-n1" rsc="eip" node="n1" score="-INFINITY"/>'
RIVAL = '<primitive id="old" class="ocf" provider="heartbeat" type="awseip"/>'


def option(name: str, value: str) -> str:
    return f'{DEADTIME}<nvpair id="option-{name}" name="{name}" value="{value}"/>'


@pytest.mark.parametrize(
    ("old", "new", "level", "says"),
    [
        (STONITH_OFF, 'name="stonith-enabled" value="true"', "failure", "no fencing device"),
        (DEADTIME, option("maintenance-mode", "true"), "failure", "maintenance-mode is on"),
        (DEADTIME, option("start-failure-is-fatal", "false"), "warning", "tried for ever"),
        (STICKINESS, "", "warning", "moves back when a failed node returns"),
        (ALERT, "", "warning", "no alert tells the agent"),
        (MULTIPLE, 'name="other" value="x"', "warning", "may restart or move the healthy copy"),
        (MULTIPLE, 'name="multiple-active" value="stop_unexpected"', "warning", "healthy copy"),
        ('<op name="start" timeout="60s"', '<op name="start" timeout="19s"', "failure", "19s"),
        ('<op name="start" timeout="60s"', '<op name="start" timeout="20s"', "warning", "own way"),
        ('<op name="start" timeout="60s"', '<op name="start" timeout="soon"', "failure", "soon"),
        ('<op name="monitor" interval="10s"', '<op name="x" interval="10s"', "warning", "not set"),
        ('<op name="monitor" interval="10s"', '<op name="monitor" interval="5min"', "warning", "5"),
        (MULTIPLE, MULTIPLE + '/><nvpair name="target-role" value="Stopped"', "failure", "Stopped"),
        (MULTIPLE, MULTIPLE + '/><nvpair name="is-managed" value="false"', "failure", "manage"),
        ("<constraints/>", f"<constraints>{CONSTRAINT}</constraints>", "warning", "cli-ban-eip"),
        ("<resources>", f"<resources>{RIVAL}", "failure", "behind the arbiter's back"),
    ],
)
def test_pacemakers_settings(old: str, new: str, level: str, says: str) -> None:
    found = only(cluster.check_pacemaker(edited(CIB, old, new), ["eip"]))
    assert found[0] == level
    assert says in found[1]


def test_health_checks_that_pacemaker_takes_no_notice_of() -> None:
    assert "no notice" in only(cluster.check_pacemaker(CIB, ["eip"], health_checks=True))[1]
    noticed = edited(CIB, DEADTIME, option("node-health-strategy", "only-green"))
    assert bad(cluster.check_pacemaker(noticed, ["eip"], health_checks=True)) == []


def test_a_watched_resource_that_is_missing_is_a_failure() -> None:
    assert "does not know it" in only(cluster.check_pacemaker(CIB, ["eip", "web"]))[1]


def test_a_groups_own_meta_attributes_count_for_its_members() -> None:
    grouped = edited(CIB, "<resources>", "<resources><group id='service'>")
    grouped = edited(grouped, "</resources>", "</group></resources>")
    sticky = '<meta_attributes><nvpair name="resource-stickiness" value="100"/></meta_attributes>'
    grouped = edited(grouped, "<group id='service'>", f"<group id='service'>{sticky}")
    grouped = edited(grouped, STICKINESS, "")
    assert bad(cluster.check_pacemaker(grouped, ["eip"])) == []
    assert bad(cluster.check_pacemaker(grouped, ["service"])) == []


APP = '<primitive id="app" class="ocf" provider="pacemaker" type="Dummy">{}</primitive>'
META = "<clone id='c'><meta_attributes><nvpair name='{}' value='{}'/></meta_attributes>{{}}</clone>"
UNEXPECTED = '<meta_attributes><nvpair name="multiple-active" value="stop_unexpected"/>'


def test_what_runs_with_the_address_must_not_be_restarted_when_an_old_copy_is_found() -> None:
    def grouped(app: str) -> str:
        start = edited(CIB, "<resources>", "<resources><group id='web'>")
        return edited(start, "</resources>", f"{app}</group></resources>")

    for watched in ("eip", "web"):
        found = only(cluster.check_pacemaker(grouped(APP.format("")), [watched]))
        assert found == ("warning", found[1])
        assert "restarts the good copy" in found[1]
        told = APP.format(f"{UNEXPECTED}</meta_attributes>")
        assert bad(cluster.check_pacemaker(grouped(told), [watched])) == []
    apart = edited(CIB, "</resources>", f"{APP.format('')}</resources>")
    assert bad(cluster.check_pacemaker(apart, ["eip"])) == []
    cloned = edited(CIB, "</resources>", f"<clone id='c'>{APP.format('')}</clone></resources>")
    told_of_clone = [text for _, text in bad(cluster.check_pacemaker(cloned, ["app"]))]
    assert not [text for text in told_of_clone if "restarts the good copy" in text]


BUNDLE = "<bundle id='b'><docker image='x' {}/>{}</bundle>"


@pytest.mark.parametrize(
    ("around", "watched", "todo"),
    [
        ("<clone id='c'>{}</clone>", "app", "pcs resource meta c promotable=true, or clone-max=1"),
        ("<clone id='c'>{}</clone>", "c", "pcs resource meta c promotable=true, or clone-max=1"),
        ("<clone id='c'>" + UNEXPECTED + "</meta_attributes>{}</clone>", "app", "clone-max=1"),
        (META.format("promotable", "true"), "app", ""),
        (META.format("clone-max", "1"), "app", ""),
        (BUNDLE.format("replicas='2'", "{}"), "b", "pcs resource bundle update b"),
        (BUNDLE.format("replicas='1'", "{}"), "b", ""),
        (BUNDLE.format("replicas='2' promoted-max='1'", "{}"), "app", ""),
    ],
)
def test_what_runs_on_several_nodes_at_once_owns_no_address(
    around: str, watched: str, todo: str
) -> None:
    text = edited(CIB, "</resources>", f"{around.format(APP.format(''))}</resources>")
    found = [f for f in cluster.check_pacemaker(text, [watched]) if "several nodes" in f.found]
    assert [(f.level, todo in f.todo) for f in found] == ([("warning", True)] if todo else [])


def test_a_resource_of_the_clusters_own_is_watched_as_it_is() -> None:
    own = edited(CIB, 'type="eip" provider="eip-arbiter">\n        <meta', 'type="x"><meta')
    assert bad(cluster.check_pacemaker(own, ["eip"])) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20", 20), ("20s", 20), ("20000ms", 20), ("2min", 120), ("1h", 3600), ("PT1M20S", 80)],
)
def test_pacemakers_ways_to_write_a_time(text: str, seconds: float) -> None:
    assert cluster.duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "PT", "soon", "-1s", "20 years"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert cluster.duration_seconds(text) is None
