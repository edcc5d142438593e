"""What addresses become by EC2's tags: one entry for each allocation, doubles refused."""

from __future__ import annotations

from dataclasses import replace

import builders
import pytest
from eip_arbiter.arbitrate.agreeing import Agreement, agreed
from eip_arbiter.decision.snapshot import Address, Node, Phase, Snapshot
from eip_contract.report import ReportRejected

NOW = builders.NOW
N1 = replace(builders.node(1, None), private_ips=("10.0.0.11", "10.0.0.12", "10.0.0.13"))


def entry(resource: str, allocation: int, index: int = 0, **more: object) -> Address:
    held = {"holder": N1.instance_id, "term": 10 + allocation, "changed_at_ms": NOW - 60_000}
    address = tag(resource, allocation, index)
    return replace(address, **{**held, **more})  # type: ignore[arg-type]


def tag(resource: str, allocation: int, index: int = 0) -> Address:
    return Address(resource, f"eipalloc-{allocation}", f"203.0.113.{allocation}", index)


def state(*addresses: Address, paused: bool = False, node: Node = N1) -> Snapshot:
    return Snapshot(
        "web",
        7,
        {node.instance_id: node},
        {address.resource: address for address in addresses},
        NOW + 60_000 if paused else 0,
    )


def kinds(plan: Agreement) -> list[str]:
    return [what for what, _, _ in plan.changes]


def test_what_the_tags_say_already_changes_nothing() -> None:
    before = state(entry("eip", 1), entry("vip", 2, 1))
    plan = agreed(before, (tag("vip", 2, 1), tag("eip", 1)), NOW)
    assert (plan.addresses, plan.changes, plan.waits) == (before.addresses, (), ())


def test_a_renamed_address_stays_one_with_its_grant() -> None:
    plan = agreed(state(entry("eip", 1)), (tag("vip", 1),), NOW)
    assert plan.addresses == {"vip": entry("vip", 1)}
    assert kinds(plan) == ["renamed"]


def test_a_name_that_is_free_since_the_same_look_is_given_on_with_a_higher_term() -> None:
    plan = agreed(state(entry("eip", 1)), (tag("vip", 1), tag("eip", 2, 1)), NOW)
    assert plan.addresses == {"vip": entry("vip", 1), "eip": replace(tag("eip", 2, 1), term=11)}


@pytest.mark.parametrize(
    "tagged",
    [(tag("vip", 1),), (tag("vip", 1), tag("eip", 2, 1)), (tag("vip", 1), tag("other", 2, 1))],
    ids=["beside an untagged one", "exchanged names", "a chain"],
)
def test_a_name_that_another_address_has_in_the_state_is_refused(
    tagged: tuple[Address, ...],
) -> None:
    with pytest.raises(ReportRejected, match="vip, which is 203") as refused:
        agreed(state(entry("eip", 1), entry("vip", 2, 1)), tagged, NOW)
    assert refused.value.reason == "ambiguous_address"


def test_two_entries_of_one_allocation_become_the_one_that_is_tagged() -> None:
    legacy = state(entry("eip", 1, term=3), entry("vip", 1, term=9))
    assert agreed(legacy, (tag("eip", 1),), NOW).addresses == {"eip": entry("eip", 1, term=3)}
    renamed = agreed(legacy, (tag("third", 1),), NOW).addresses
    assert renamed == {"third": entry("third", 1, term=9)}


def test_an_address_without_a_tag_stays_and_one_of_another_cluster_leaves() -> None:
    before = state(entry("eip", 1), entry("vip", 2, 1))
    assert agreed(before, (), NOW).addresses == before.addresses
    plan = agreed(before, (), NOW, elsewhere=("eipalloc-2",))
    assert plan.addresses == {"eip": entry("eip", 1)}
    assert kinds(plan) == ["left"]


def test_an_exchanged_address_keeps_the_grant_of_its_resource() -> None:
    for elsewhere in ((), ("eipalloc-1",)):
        plan = agreed(state(entry("eip", 1)), (tag("eip", 2),), NOW, elsewhere)
        known = entry("eip", 1)
        assert plan.addresses == {
            "eip": replace(known, allocation_id="eipalloc-2", public_ip="203.0.113.2")
        }
        assert kinds(plan) == ["exchanged"]


class TestAnotherPrivateAddress:
    def test_is_put_right_under_the_grant_in_force(self) -> None:
        plan = agreed(state(entry("eip", 1)), (tag("eip", 1, 2),), NOW)
        after = plan.addresses["eip"]
        assert (after.private_ip_index, after.phase) == (2, Phase.MOVING)
        assert (after.deadline_ms, after.changed_at_ms) == (NOW, NOW)
        assert (after.holder, after.term) == (N1.instance_id, 11)

    def test_of_an_address_that_nobody_holds_moves_nothing(self) -> None:
        unheld = entry("eip", 1, holder=None)
        plan = agreed(state(unheld), (tag("eip", 1, 2),), NOW)
        assert plan.addresses["eip"] == replace(unheld, private_ip_index=2)

    def test_of_two_that_change_places_is_taken_up_at_once(self) -> None:
        before = state(entry("eip", 1), entry("vip", 2, 1))
        plan = agreed(before, (tag("eip", 1, 1), tag("vip", 2, 0)), NOW)
        assert {r: a.private_ip_index for r, a in plan.addresses.items()} == {"eip": 1, "vip": 0}

    @pytest.mark.parametrize(
        ("before", "why"),
        [
            (state(entry("eip", 1), paused=True), "the cluster is paused"),
            (
                state(entry("eip", 1, phase=Phase.MOVING, deadline_ms=NOW + 1)),
                "it is being moved",
            ),
            (
                state(entry("eip", 1), node=replace(N1, private_ips=("10.0.0.11",))),
                "has no such private address",
            ),
        ],
        ids=["paused", "being moved", "not there"],
    )
    def test_waits_with_its_reason_and_so_does_a_new_one_in_its_place(
        self, before: Snapshot, why: str
    ) -> None:
        plan = agreed(before, (tag("eip", 1, 1), tag("vip", 2, 0)), NOW)
        assert plan.addresses == before.addresses
        assert plan.waits[0].endswith(why)
        assert plan.waits[1] == "203.0.113.2 (vip) is taken in once its private address is free"

    def test_of_one_waits_for_all_of_the_cluster(self) -> None:
        short = replace(N1, private_ips=("10.0.0.11", "10.0.0.12"))
        before = state(entry("eip", 1, 0), entry("vip", 2, 1), node=short)
        plan = agreed(before, (tag("eip", 1, 1), tag("vip", 2, 2)), NOW)
        assert plan.addresses == before.addresses
        assert len(plan.waits) == 1


@pytest.mark.parametrize(
    ("tagged", "same"),
    [
        ((tag("eip", 1, 0), tag("eip", 2, 1)), "eip-arbiter:resource"),
        ((tag("eip", 1, 0), tag("vip", 2, 0)), "eip-arbiter:private-ip-index"),
    ],
)
def test_doubles_among_the_tags_are_refused(tagged: tuple[Address, ...], same: str) -> None:
    with pytest.raises(ReportRejected, match=f"have the same {same}"):
        agreed(state(), tagged, NOW)


def test_an_address_without_a_tag_keeps_its_private_address() -> None:
    """Also one that was tagged only after this list was read: it may be used much later."""
    before = state(entry("eip", 1, 1), entry("vip", 2, 0))
    plan = agreed(before, (tag("eip", 1, 0),), NOW)
    assert plan.addresses == before.addresses
    assert plan.waits == ("203.0.113.1 (eip) is moved once private address number 0 is free",)
