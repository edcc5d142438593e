"""What a node makes of what it sees: suspects, states, claims, cadence and cause."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from eip_agent.conclude.view import awaiting, cadence_seconds, cause, lost_peers, resource_state
from eip_agent.conclude.view import news as news_of
from eip_agent.remember.sight import PacemakerView, Sight, Word
from eip_agent.settings import Settings
from eip_contract.report import NodeReport, OrderProgress, Pacemaker, ResourceState, Suspect
from eip_contract.state_item import AddressStatus, ClusterStatus

ME, PEER = "i-0aaaaaaaaaaaaaaa1", "i-0bbbbbbbbbbbbbbb2"
WHOLE = PacemakerView(
    state="online",
    members=("n1", "n2"),
    node_ids={"n1": 1, "n2": 2},
    roles={"eip": "stopped"},
)
SETTINGS = Settings()


def status(holder: str | None = PEER, **changes: Any) -> ClusterStatus:
    address = AddressStatus(
        resource="eip",
        public_ip="203.0.113.7",
        holder=holder,
        term=3,
        phase="settled",
        order_id=None,
        order_target=None,
        order_until_ms=0,
        refused_claimant=None,
    )
    return ClusterStatus(
        version=1,
        addresses={"eip": dataclasses.replace(address, **changes)},
        node_names={ME: "n1", PEER: "n2"},
        last_reports={ME: (1, 9), PEER: (1, 5)},
    )


def sight(**changes: Any) -> Sight:
    base = Sight(
        "n1",
        ME,
        100.0,
        pacemaker=WHOLE,
        pacemaker_at=99.0,
        links={2: True},
        ever_seen=frozenset({"n1", "n2"}),
        last_roles={"eip": "stopped"},
    )
    return dataclasses.replace(base, **changes)


def with_view(**changes: Any) -> PacemakerView:
    return dataclasses.replace(WHOLE, **changes)


def test_a_whole_cluster_suspects_nobody() -> None:
    assert lost_peers(sight()) == frozenset()


def test_a_link_that_is_down_suspects_its_node_while_pacemaker_still_waits() -> None:
    assert lost_peers(sight(links={2: False})) == {"n2"}


def test_a_member_lost_without_a_word_is_suspected_whatever_the_links_say() -> None:
    view = with_view(members=("n1",), lost=frozenset({"n2"}))
    assert lost_peers(sight(pacemaker=view)) == {"n2"}
    assert lost_peers(sight(pacemaker=view, links=None)) == {"n2"}


def test_a_clean_leave_is_not_suspected() -> None:
    view = with_view(members=("n1",), left=frozenset({"n2"}))
    assert lost_peers(sight(pacemaker=view, links={2: False})) == frozenset()


def test_a_peer_never_seen_is_suspected_only_if_pacemaker_expects_it_up() -> None:
    never = sight(ever_seen=frozenset({"n1"}), links={2: False})
    assert lost_peers(never) == frozenset()
    expected = with_view(members=("n1",), lost=frozenset({"n2"}))
    assert lost_peers(dataclasses.replace(never, pacemaker=expected)) == {"n2"}


@pytest.mark.parametrize(
    ("word", "role", "pacemaker", "expected"),
    [
        (None, "started", "online", "started"),
        (None, "started", "unknown", "unknown"),
        (None, "failed", "online", "failed"),
        ("starting", "stopped", "online", "starting"),
        ("started", "stopped", "online", "started"),
        ("started", "failed", "online", "failed"),
        ("stopped", "started", "online", "stopped"),
        ("stopped", "started", "unknown", "stopped"),
        ("started", "stopped", "offline", "unknown"),
        ("started", "stopped", "unknown", "unknown"),
        (None, "stopped", "offline", "stopped"),
        (None, "stopped", "unknown", "unknown"),
        (None, None, "online", "unknown"),
        (None, None, "offline", "unknown"),
        ("started", None, "online", "started"),
        ("stopped", None, "offline", "stopped"),
    ],
)
def test_the_resource_agents_word_goes_before_pacemakers_view(
    word: str | None, role: str | None, pacemaker: str, expected: str
) -> None:
    words = {} if word is None else {"eip": Word(word, 98.0)}
    roles = {} if role is None else {"eip": role}
    s = sight(words=words, pacemaker=with_view(state=pacemaker), last_roles=roles)
    assert resource_state(s, "eip") == expected


def test_pacemaker_is_believed_only_when_it_goes_on_saying_that_nothing_runs() -> None:
    words = {"eip": Word("started", 50.0)}
    assert resource_state(sight(words=words), "eip") == "started"
    for since, state in ((83.0, "stopped"), (90.0, "started")):
        s = sight(words=words, contradicted_since={"eip": since})
        assert resource_state(s, "eip") == state


def test_a_node_that_joins_again_still_runs_what_it_ran() -> None:
    joining = with_view(state="pending", roles={"eip": "stopped"})
    own = sight(words={"eip": Word("started", 50.0)}, pacemaker=joining)
    watched = sight(pacemaker=joining, last_roles={"eip": "started"})
    assert resource_state(own, "eip") == resource_state(watched, "eip") == "started"


def test_a_resource_that_ran_before_pacemaker_went_away_is_unknown() -> None:
    gone = sight(pacemaker=with_view(state="offline"), last_roles={"eip": "started"})
    assert resource_state(gone, "eip") == "unknown"


def test_a_claim_is_pending_until_the_status_says_that_it_is_ours() -> None:
    assert awaiting(sight(), {"eip": "starting"}) == ("eip",)
    assert awaiting(sight(), {"eip": "started"}) == ("eip",)
    assert awaiting(sight(status=status(PEER)), {"eip": "started"}) == ("eip",)
    assert awaiting(sight(status=status(None)), {"eip": "started"}) == ("eip",)
    assert awaiting(sight(status=status(ME)), {"eip": "started"}) == ()
    assert awaiting(sight(status=status(PEER)), {"eip": "stopped"}) == ()


def test_a_node_does_not_claim_against_the_order_that_takes_its_address() -> None:
    ordered = status(PEER, order_target=PEER, order_id="o1", order_until_ms=10**15)
    assert awaiting(sight(status=ordered), {"eip": "started"}) == ()


def test_a_copy_makes_room_for_an_order_only_while_pacemaker_may_follow_it() -> None:
    ordered = status(PEER, order_target=PEER, order_id="o1", order_until_ms=10**15)
    young = sight(status=ordered, orders_since={"o1": 91.0})
    assert awaiting(young, {"eip": "started"}) == ()
    for change in (
        {"orders_since": {"o1": 90.0}},
        {"links": {2: False}},
        {"pacemaker": with_view(members=("n1",), lost=frozenset({"n2"}))},
        {"pacemaker": with_view(members=("n1",), left=frozenset({"n2"}))},
    ):
        assert awaiting(dataclasses.replace(young, **change), {"eip": "started"}) == ("eip",)


def test_what_is_watched_as_it_is_claims_nothing_that_the_holder_runs_in_sight() -> None:
    both = with_view(running_on={"eip": frozenset({"n1", "n2"})})
    clone = sight(status=status(PEER), pacemaker=both)
    assert awaiting(clone, {"eip": "started"}) == ()
    for change in (
        {"links": {2: False}},
        {"pacemaker": with_view(running_on={"eip": frozenset({"n1"})})},
        {"words": {"eip": Word("started", 50.0)}},
        {"status": status(None)},
    ):
        assert awaiting(dataclasses.replace(clone, **change), {"eip": "started"}) == ("eip",)


def test_a_start_is_a_claim_whatever_pacemaker_can_be_read_to_say() -> None:
    s = sight(words={"eip": Word("starting", 99.0)}, pacemaker=PacemakerView())
    assert resource_state(s, "eip") == "starting"
    assert awaiting(s, {"eip": "starting"}) == ("eip",)


@pytest.mark.parametrize(
    ("claimed_for", "suspects", "seconds"),
    [
        (29.9, (), 0.25),
        (30.0, (), 1.0),
        (299.0, (), 1.0),
        (300.0, (), 10.0),
        (300.0, ("n2",), 1.0),
    ],
)
def test_a_claim_that_nothing_answers_is_repeated_ever_more_rarely(
    claimed_for: float, suspects: tuple[str, ...], seconds: float
) -> None:
    got = cadence_seconds(sight(), SETTINGS, frozenset(suspects), ("eip",), claimed_for)
    assert got == seconds


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 1.0),
        ({"pacemaker": with_view(running_on={"eip": frozenset({"n2"})})}, 10.0),
        ({"pacemaker": with_view(state="offline")}, 10.0),
        ({"owed": frozenset()}, 10.0),
    ],
)
def test_a_refused_start_keeps_the_node_alert_while_the_service_runs_nowhere(
    changes: dict[str, Any], seconds: float
) -> None:
    s = dataclasses.replace(sight(owed=frozenset({"eip"})), **changes)
    assert cadence_seconds(s, SETTINGS, frozenset(), ()) == seconds


@pytest.mark.parametrize(
    ("changes", "suspects", "pending", "seconds"),
    [
        ({}, (), (), 10.0),
        ({}, ("n2",), (), 1.0),
        ({}, ("n2",), ("eip",), 0.25),
        ({"pacemaker": with_view(state="unknown")}, (), (), 1.0),
        ({"pacemaker": with_view(state="pending")}, (), (), 1.0),
        ({"pacemaker": with_view(state="offline")}, (), (), 10.0),
        ({"status": status(ME, refused_claimant=PEER)}, (), (), 1.0),
        ({"status": status(PEER, refused_claimant=ME)}, (), (), 10.0),
        ({"status": status(ME, phase="moving")}, (), (), 1.0),
        ({"status": status(PEER, phase="moving")}, (), (), 10.0),
    ],
)
def test_the_cadence_follows_the_trouble(
    changes: dict[str, Any], suspects: tuple[str, ...], pending: tuple[str, ...], seconds: float
) -> None:
    got = cadence_seconds(sight(**changes), SETTINGS, frozenset(suspects), pending)
    assert got == seconds


def report(**changes: Any) -> NodeReport:
    base = NodeReport(
        cluster_id="classic",
        node_name="n1",
        instance_id=ME,
        availability_zone="eu-central-1a",
        incarnation=1,
        seq=5,
        observed_at_ms=1,
        next_report_within_ms=10_000,
        cause="heartbeat",
        pacemaker=Pacemaker("online", "n1", True, "two_node", ("n1", "n2")),
        resources={"eip": ResourceState("started", 5)},
    )
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "heartbeat"),
        ({"awaiting": ("eip",)}, "claim"),
        ({"resources": {"eip": ResourceState("stopped", 0)}}, "release"),
        ({"resources": {"eip": ResourceState("failed", 0)}}, "resource"),
        ({"suspects": (Suspect("n2", 0),)}, "membership"),
        ({"pacemaker": Pacemaker("online", "n1", True, "two_node", ("n1",))}, "membership"),
        ({"public_ips": ("203.0.113.7",)}, "health"),
        ({"failing": ("x",)}, "health"),
        ({"order": OrderProgress("o1", "seen")}, "operator"),
        ({"order": OrderProgress("o1", "seen"), "awaiting": ("eip",)}, "claim"),
    ],
)
def test_a_report_says_the_weightiest_reason(changes: dict[str, Any], expected: str) -> None:
    assert cause(report(), report(**changes)) == expected
    assert (news_of(report()) != news_of(report(**changes))) == (expected != "heartbeat")


def test_time_that_passes_is_no_news() -> None:
    later = report(
        seq=6,
        observed_at_ms=999,
        resources={"eip": ResourceState("started", 9_000)},
        suspects=(Suspect("n2", 7_000),),
    )
    assert news_of(report(suspects=(Suspect("n2", 0),))) == news_of(later)
