"""The doctor's judgements on real outputs of the cluster's tools, and on AWS's answers."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from agent.fakes import ME, PEER, PUBLIC_IP, FakeNode
from eip_agent import __version__
from eip_agent.channel import ExchangeError
from eip_agent.doctor import cluster, local, region
from eip_agent.doctor.command import page
from eip_agent.doctor.finding import Finding, exit_status, failure, note, ok, warning
from eip_agent.metadata import Identity, MetadataService
from eip_agent.settings import Settings
from eip_contract.state_item import AddressStatus, ClusterStatus

SAMPLES = Path(__file__).parent / "samples/doctor"
CMAP = (SAMPLES / "cmapctl.txt").read_text()
QUORUM = (SAMPLES / "quorumtool.txt").read_text()
CIB = (SAMPLES / "cib.xml").read_text()
SETTINGS = Settings(cluster_id="web", table="tab", bus="b", node_name="n1")


def edited(text: str, old: str, new: str) -> str:
    """A sample with one thing changed; it must be there, and only once."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


def bad(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Level and text of what is not well; each of these must say what to do."""
    found = [f for f in findings if f.level in ("warning", "failure")]
    assert all(f.todo for f in found)
    return [(f.level, f.found) for f in found]


def only(findings: Iterable[Finding]) -> tuple[str, str]:
    found = bad(findings)
    assert len(found) == 1, found
    return found[0]


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
        ('<op name="start" timeout="20s"', '<op name="start" timeout="15s"', "failure", "15s"),
        ('<op name="start" timeout="20s"', '<op name="start" timeout="soon"', "failure", "soon"),
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
    assert bad(cluster.check_pacemaker(cloned, ["app"])) == []


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


def test_versions() -> None:
    pacemaker = (SAMPLES / "crm_mon_version.txt").read_text()
    corosync = (SAMPLES / "corosync_version.txt").read_text()
    assert bad(local.check_versions((3, 9, 2), pacemaker, corosync)) == []
    older = edited(pacemaker, "2.1.5", "2.1.2")
    assert "older than all" in only(local.check_versions((3, 9, 2), older, corosync))[1]
    older = edited(corosync, "3.1.7", "2.4.5")
    assert "show its links" in only(local.check_versions((3, 9, 2), pacemaker, older))[1]
    assert only(local.check_versions((3, 8, 9), pacemaker, corosync))[0] == "failure"
    assert len(bad(local.check_versions((3, 9, 2), "", ""))) == 2


def agent_says(**changes: Any) -> dict[str, Any]:
    said = {
        "version": __version__,
        "publishing": "ok",
        "reading": "ok",
        "reports_sent": 3,
        "links": {"2": True},
        "refused_starts": [],
        "report": {"incarnation": 4, "seq": 9, "observed_at_ms": int(time.time() * 1000)},
    }
    return said | changes


@pytest.mark.parametrize(
    ("changes", "level", "says"),
    [
        ({"version": "0.0.9"}, "warning", "0.0.9 runs"),
        ({"publishing": "refused: AccessDenied"}, "failure", "AccessDenied"),
        ({"reading": "timeout: x"}, "failure", "timeout"),
        ({"reports_sent": 0}, "failure", "has taken no report"),
        ({"links": {"2": False}}, "warning", "do not reach node 2"),
    ],
)
def test_what_the_agent_says_of_itself(changes: dict[str, Any], level: str, says: str) -> None:
    assert bad(local.check_agent(agent_says())) == []
    found = only(local.check_agent(agent_says(**changes)))
    assert found[0] == level
    assert says in found[1]


def test_the_socket_the_service_and_this_node() -> None:
    assert bad(local.check_socket(0o140660, "haclient")) == []
    assert "mode is 0666" in only(local.check_socket(0o140666, "haclient"))[1]
    assert "hacluster, cannot ask" in only(local.check_socket(0o140660, "root"))[1]
    assert bad(local.check_service("enabled")) == []
    assert bad(local.check_service("")) == []
    assert "after a reboot" in only(local.check_service("disabled"))[1]
    assert bad(local.check_here("online", failed=False, failing=False)) == []
    assert only(local.check_here("offline", failed=False, failing=False))[0] == "failure"
    assert only(local.check_here("standby", failed=False, failing=False))[0] == "warning"
    assert "red" in only(local.check_here("online", failed=False, failing=True))[1]
    assert only(local.check_here("online", failed=True, failing=False))[0] == "failure"


@pytest.mark.parametrize(
    ("seconds", "level"),
    [
        (0, "ok"),
        (29, "ok"),
        (-40, "warning"),
        (290, "warning"),
        (301, "failure"),
        (-400, "failure"),
    ],
)
def test_the_clock_may_be_off_until_signatures_are_refused(seconds: int, level: str) -> None:
    date = "Wed, 25 Nov 2026 15:22:35 GMT"
    now = email.utils.parsedate_to_datetime(date).timestamp() + seconds
    found = region.judge_clock(date, now)
    assert found.level == level
    assert level == "ok" or ("ahead of" if seconds > 0 else "behind") in found.found


def test_without_a_date_the_clock_is_not_judged() -> None:
    assert region.judge_clock("", 0.0).level == "note"


def known(**changes: Any) -> ClusterStatus:
    address = AddressStatus("eip", PUBLIC_IP, ME, 7, "settled", None, None, 0, None)
    status = ClusterStatus(
        version=1,
        addresses={"eip": address},
        node_names={ME: "n1", PEER: "n2"},
        last_reports={ME: (4, 8), PEER: (1, 1)},
    )
    return dataclasses.replace(status, **changes)


@pytest.mark.parametrize(
    ("changes", "answer", "level", "says"),
    [
        ({"addresses": {}}, agent_says(), "failure", "no Elastic IP for resource eip"),
        ({"node_names": {PEER: "n2"}}, agent_says(), "failure", f"no report of {ME}"),
        ({"node_names": {ME: "n1"}}, agent_says(), "failure", "nobody could take over"),
        ({"node_names": {ME: "x", PEER: "n2"}}, agent_says(), "warning", "this node as x"),
        ({"last_reports": {ME: (4, 7)}}, agent_says(), "failure", "but the agent sent 4.9"),
        ({"last_reports": {ME: (3, 99)}}, agent_says(), "failure", "report 3.99"),
        ({}, None, "warning", "not proven without an agent"),
        ({}, agent_says(report=None), "warning", "not proven"),
    ],
)
def test_what_the_control_plane_knows(
    changes: dict[str, Any], answer: Mapping[str, Any] | None, level: str, says: str
) -> None:
    assert bad(region.judge_status(known(), SETTINGS, ME, agent_says())) == []
    found = only(region.judge_status(known(**changes), SETTINGS, ME, answer))
    assert found[0] == level
    assert says in found[1]


@pytest.mark.parametrize(
    ("public", "private", "level"),
    [
        ({PUBLIC_IP}, False, "warning"),
        ({PUBLIC_IP}, True, "ok"),
        ({PUBLIC_IP, "198.51.100.4"}, False, "ok"),
        (set(), False, "ok"),
    ],
)
def test_a_node_that_reports_through_the_elastic_ip_alone(
    public: set[str], private: bool, level: str
) -> None:
    found = region.judge_way(frozenset(public), frozenset({PUBLIC_IP}), private=private)
    assert found.level == level


@pytest.mark.parametrize(("written", "asked"), [("", "eu-west-3"), ("us-east-2", "us-east-2")])
def test_without_a_region_in_the_settings_the_instances_own_is_asked(
    monkeypatch: pytest.MonkeyPatch, written: str, asked: str
) -> None:
    tried: list[str] = []

    class Unreachable:
        """A fake channel that only notes whom it was to reach."""

        def __init__(self, url: str, *_: float) -> None:
            tried.append(url)

        def request(self, *_: Any) -> None:
            raise ExchangeError("connect", "refused")

    identity = Identity(ME, "eu-west-3", "eu-west-3a", "123456789012", "aws")
    monkeypatch.setattr(MetadataService, "identity", lambda _self: identity)
    monkeypatch.setattr(region, "Channel", Unreachable)
    region.examine(dataclasses.replace(SETTINGS, region=written), None, None)
    assert {f"https://{name}.{asked}.amazonaws.com" for name in ("events", "dynamodb")} == {*tried}


def test_the_exit_status_is_that_of_the_worst_finding() -> None:
    good, worth = ok("a", "b"), note("a", "b")
    warned, failed = warning("a", "b", "c"), failure("a", "b", "c")
    assert exit_status([]) == exit_status([good, worth]) == 0
    assert exit_status([good, warned]) == 2
    assert exit_status([warned, failed, good]) == 1


def test_the_page_says_what_to_do_and_lets_nothing_reach_the_terminal() -> None:
    shown = page([ok("a", "fine"), failure("bcd", "x\x1b[2J", "mend it")], colours=False)
    assert shown == (
        "ok       a    fine\nfailure  bcd  x?[2J\n              -> mend it\n\n"
        "1 of these break a failover\n"
    )
    coloured = page([ok("a", "fine")], colours=True)
    assert coloured.startswith("\x1b[32mok     \x1b[0m  a  fine\n")
    assert "a failover would work" in coloured


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    fake = FakeNode(tmp_path)
    try:
        yield fake
    finally:
        fake.close()


def examined(node: FakeNode, *options: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Runs the doctor with this folder's programs in front of the machine's own."""
    for name, sample in (
        ("cibadmin", "cib.xml"),
        ("corosync-cmapctl", "cmapctl.txt"),
        ("corosync", "corosync_version.txt"),
    ):
        program(node.folder / name, f"cat {SAMPLES / sample}")
    program(node.folder / "systemctl", "echo enabled")
    program(
        node.folder / "mon",
        f'case "$1" in --version) cat {SAMPLES}/crm_mon_version.txt;;'
        f" *) cat {node.folder}/crm_mon.out;; esac",
    )
    node.write_config(
        crm_mon=node.folder / "mon",
        corosync_quorumtool=f"cat {SAMPLES}/quorumtool.txt --",
        **more,
    )
    path = f"{node.folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "eip_agent", "doctor", "--config", node.config, *options],
        env=node.environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def levels(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Level by check, the worst where a check has several findings."""
    order = ("ok", "note", "warning", "failure")
    found: dict[str, str] = {}
    for finding in json.loads(done.stdout)["findings"]:
        before = found.get(finding["check"], "ok")
        found[finding["check"]] = max(before, finding["level"], key=order.index)
    return found


def test_the_doctor_with_an_agent_that_runs(node: FakeNode) -> None:
    node.region.holder = PEER
    node.start()
    done = examined(node, "--json")
    found = levels(done)
    # The socket of a test's agent belongs to the group of whoever runs the tests.
    found.pop("Socket", None)
    assert {check: level for check, level in found.items() if level not in ("ok", "note")} == {}
    assert done.returncode == (2 if json.loads(done.stdout)["verdict"] == "warning" else 0)
    for check in ("Clock", "Table", "Control plane", "Address", "Way to AWS", "Publishing"):
        assert check in found, check


def test_the_doctor_without_an_agent_says_so_on_a_page(node: FakeNode) -> None:
    done = examined(node)
    assert done.returncode == 1
    assert "failure  Agent" in done.stdout
    assert "-> systemctl enable --now eip-agent" in done.stdout
    assert "\x1b" not in done.stdout, "no colours but on a terminal"


def test_the_doctor_says_where_the_way_to_aws_ends(node: FakeNode) -> None:
    done = examined(node, "--json", endpoint_url="http://127.0.0.1:1")
    assert levels(done)["EventBridge endpoint"] == "failure"
    assert levels(done)["DynamoDB endpoint"] == "failure"
    node.region.metadata_up = False
    assert levels(examined(node, "--json"))["Metadata service"] == "failure"


def test_the_doctor_reads_wrong_settings_as_a_finding(node: FakeNode) -> None:
    done = examined(node, "--json", calm_seconds="x")
    assert done.returncode == 1
    assert levels(done)["Settings"] == "failure"
    assert levels(done)["Corosync token"] == "ok"


def test_a_running_agent_carries_no_doctor_along() -> None:
    code = "import sys, eip_agent.__main__; print('eip_agent.doctor' in sys.modules)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True, text=True
    )
    assert done.stdout == "False\n"
