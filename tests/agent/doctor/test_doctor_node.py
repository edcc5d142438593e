"""What the doctor says of this node, its agent and its way to AWS."""

from __future__ import annotations

import dataclasses
import email.utils
import time
from collections.abc import Mapping
from typing import Any

import pytest
from agent.doctor.doctor_samples import SAMPLES, SETTINGS, bad, edited, only
from agent.fakes import ME, PEER, PUBLIC_IP
from eip_agent import __version__
from eip_agent.calls import ways
from eip_agent.calls.channel import ExchangeError
from eip_agent.doctor import local, region
from eip_agent.doctor.way import Facts, judge_own, judge_way
from eip_agent.observe.metadata import Identity, Interface, MetadataService
from eip_contract.state_item import AddressStatus, ClusterStatus


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
        ({"last_reports": {ME: (5, 0)}}, agent_says(), "failure", "ahead of 4.9"),
        ({"last_reports": {ME: (4, 9_000)}}, agent_says(), "failure", "ahead of 4.9"),
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


PRIMARY, SECONDARY, OWN = "10.0.0.10", "10.0.0.11", "198.51.100.4"
PUBLIC_AWS = {"events": "3.120.0.1", "dynamodb": "52.94.0.1"}
IPV6_AWS = {"events": "2a05:d018::1", "dynamodb": "2a05:d018::2"}
PRIVATE_EVENTS = {**PUBLIC_AWS, "events": "10.0.1.5"}


def interface(**public: str) -> Interface:
    """A network interface of which `first` and `second` are the public addresses."""
    places = {"first": PRIMARY, "second": SECONDARY}
    return Interface((PRIMARY, SECONDARY), {ip: places[name] for name, ip in public.items()})


@pytest.mark.parametrize(
    ("facts", "level", "says"),
    [
        (Facts(IPV6_AWS, (interface(first=OWN),)), "ok", "by IPv6"),
        (Facts(IPV6_AWS, (interface(first=OWN),) * 2), "ok", "by IPv6"),
        (Facts(dict.fromkeys(PUBLIC_AWS, "10.0.1.5"), (interface(),)), "ok", "in the VPC"),
        (Facts(PRIVATE_EVENTS, (interface(first=OWN),)), "note", "cannot be seen from here"),
        (Facts(PRIVATE_EVENTS, (interface(),)), "ok", "endpoint"),
        (Facts(PUBLIC_AWS, (interface(),)), "ok", "NAT gateway"),
        (Facts(PUBLIC_AWS, (interface(first=OWN),)), "warning", f"{OWN}, which EC2 takes away"),
        (Facts(PUBLIC_AWS, (interface(first=PUBLIC_IP),)), "warning", "by the Elastic IP"),
        (Facts(PUBLIC_AWS, (interface(first=OWN), interface())), "failure", "2 network interfaces"),
        (
            Facts(PUBLIC_AWS, (interface(first=OWN, second="198.51.100.5"),)),
            "failure",
            "198.51.100.5 is on a secondary private address",
        ),
        (
            Facts(PUBLIC_AWS, (interface(first=OWN),), frozenset({PUBLIC_IP, "203.0.113.8"})),
            "failure",
            "several Elastic IPs",
        ),
        (
            Facts(PUBLIC_AWS, (interface(second=OWN),), source=SECONDARY, own={SECONDARY: OWN}),
            "ok",
            "no move takes away",
        ),
        (
            Facts(
                PUBLIC_AWS, (interface(first=OWN),), source=PRIMARY, own={PRIMARY: OWN},
                endangered=OWN,
            ),
            "warning",
            "takes away",
        ),
    ],
)  # fmt: skip
def test_whether_the_way_to_aws_lasts_when_an_elastic_ip_moves(
    facts: Facts, level: str, says: str
) -> None:
    found = judge_way(dataclasses.replace(facts, elastic=facts.elastic or frozenset({PUBLIC_IP})))
    assert (found.level, says in found.found) == (level, True), found
    assert "public address" not in found.todo, "an Elastic IP of its own is no advice"


def test_an_elastic_ip_of_the_nodes_own_that_a_move_would_throw_off_is_a_failure() -> None:
    facts = Facts(IPV6_AWS, (interface(first=OWN),), own={PRIMARY: OWN}, endangered=OWN)
    found = judge_own(facts)
    assert found is not None
    assert found.level == "failure"
    assert OWN in found.found
    assert judge_own(dataclasses.replace(facts, endangered="")) is None


@pytest.mark.parametrize(("written", "asked"), [("", "eu-west-3"), ("us-east-2", "us-east-2")])
def test_without_a_region_in_the_settings_the_instances_own_is_asked(
    monkeypatch: pytest.MonkeyPatch, written: str, asked: str
) -> None:
    tried: list[str] = []

    class Unreachable:
        """A fake channel that only notes whom it was to reach."""

        def __init__(self, url: str, *_: Any) -> None:
            tried.append(url)

        def request(self, *_: Any) -> None:
            raise ExchangeError("connect", "refused")

    identity = Identity(ME, "eu-west-3", "eu-west-3a", "123456789012", "aws")
    monkeypatch.setattr(MetadataService, "identity", lambda _self: identity)
    monkeypatch.setattr(region, "Channel", Unreachable)
    monkeypatch.setattr(ways, "has_ipv6_route", lambda: False)
    region.examine(dataclasses.replace(SETTINGS, region=written), None, None)
    assert {f"https://{name}.{asked}.amazonaws.com" for name in ("events", "dynamodb")} == {*tried}
