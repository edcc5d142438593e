"""The simulated Pacemaker does what the classic properties say, no more."""

from __future__ import annotations

from lab.cluster.status import parse_crm_mon
from lab.simulated.plan import Member, Step, crm_mon_xml, next_step


def member(name: str, role: str = "Stopped", **changes: object) -> Member:
    fields: dict[str, object] = {"since": 1.0, "banned": False, "leaving": False}
    return Member(name=name, role=role, **(fields | changes))  # type: ignore[arg-type]


def test_it_starts_where_it_ran_last() -> None:
    assert next_step([member("n1"), member("n2")], "n2", None) == Step("start", "n2")


def test_it_does_not_start_on_a_banned_or_leaving_node() -> None:
    members = [member("n1", banned=True), member("n2", leaving=True), member("n3")]
    assert next_step(members, "n1", None) == Step("start", "n3")


def test_it_stops_where_the_node_leaves() -> None:
    members = [member("n1", "Started", leaving=True), member("n2")]
    assert next_step(members, "n1", None) == Step("stop", "n1")


def test_it_stays_where_it_runs() -> None:
    assert next_step([member("n1", "Started"), member("n2")], "n1", None) is None


def test_it_goes_where_an_operator_wants_it() -> None:
    assert next_step([member("n1", "Started"), member("n2")], "n1", "n2") == Step("stop", "n1")


def test_of_two_that_run_only_the_unexpected_one_is_stopped() -> None:
    members = [member("n1", "Started", since=1.0), member("n2", "Started", since=9.0)]
    assert next_step(members, "n1", None) == Step("stop", "n2")


def test_a_running_start_is_waited_for() -> None:
    members = [member("n1", "Started"), member("n2", "Starting", since=9.0)]
    assert next_step(members, "n1", None) is None


def test_its_xml_reads_like_the_real_one() -> None:
    view = parse_crm_mon(
        crm_mon_xml(
            names=["n1", "n2"],
            online={"n2"},
            left=set(),
            roles={"n1": "Stopped", "n2": "Starting"},
            failed={"n1": "eip_start_0"},
            resource="eip",
        )
    )
    assert view is not None
    assert view.online == ("n2",)
    assert not view.started_on("eip")
    lost = next(node for node in view.nodes if node.name == "n1")
    assert lost.expected_up, "gone without a word"
    assert [failure.node for failure in view.failures] == ["n1"]
