"""The nodes' ways to AWS, while an Elastic IP of the run's own comes to the standby and goes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from acceptance import judge
from acceptance.measures import addresses
from acceptance.on_node import commands
from acceptance.rows import Row
from acceptance.run import Run
from acceptance.waiting import AcceptanceError

_METADATA = "metadata"
_LEAST_SECONDS = 60.0
"""For so long a way may still work by what EC2 has not carried out yet."""
_FAMILIES = {"way_ipv4": "ipv4", "way_ipv6": "ipv6", "way_endpoint": "ipv4"}


def without_endpoints(run: Run) -> list[Row]:
    """IPv4 and IPv6 at once, and what the metadata service tells meanwhile."""
    rows = ["way_ipv4", "way_ipv6"]
    seen = [row for row in rows if row not in run.account.blind]
    return _come_and_go(run, seen, run.pace.went, metadata=True)


def with_endpoints(run: Run) -> list[Row]:
    """The same once the nodes' stack has been given endpoints."""
    run.stacks.change(run.names.classic, "PrivateEndpoints", "yes")
    run.sleep(run.pace.names)  # until the nodes get the endpoints' addresses by the usual names
    return _come_and_go(run, ["way_endpoint"], min(60.0, run.pace.went), metadata=False)


def _come_and_go(
    run: Run, ways: Sequence[str], went_seconds: float, *, metadata: bool
) -> list[Row]:
    _, standby = run.holder()
    instance = run.instances()[standby]
    interface = run.interface(instance)
    total = run.pace.message + run.pace.lead + run.pace.came + went_seconds
    run.nodes.run(instance, commands.bring_probe())
    for row in ways:
        run.nodes.run(instance, commands.begin("way", row, _FAMILIES[row], f"{total:.0f}"))
    if metadata:
        run.nodes.run(instance, commands.begin("metadata", _METADATA, f"{total:.0f}"))
    probes = [*ways, _METADATA] if metadata else list(ways)
    run.pace.until(
        lambda: all(_seen(run, instance, p) for p in probes), "the probes run", run.pace.message
    )
    run.sleep(run.pace.lead)
    run.say(f"an Elastic IP of the run's own comes to {standby}")
    came_at = time.time()
    addresses.associate(run, interface)
    run.sleep(run.pace.came)
    run.say(f"it goes again, and {standby} is watched for up to {went_seconds:.0f} s")
    went_at = time.time()
    addresses.free(run)
    _await_back(run, instance, ways, went_seconds)
    ended_at = time.time()
    found = {p: _seen(run, instance, p, whole=True) for p in probes}
    rows, apart = [], 0.0
    for row in ways:
        seen = found[row]
        _check(row, seen, came_at)
        came = judge.outage(seen["changes"], came_at, went_at)
        went = judge.outage(seen["changes"], went_at, ended_at)
        rows.append(judge.way(row, came, went))
        if row == "way_ipv4":
            apart = sum(o.waited if o.seconds is None else o.seconds for o in (came, went))
    if metadata:
        rows += _of_metadata(run, found[_METADATA], came_at, went_at, apart)
    return rows


def _await_back(run: Run, instance: str, ways: Sequence[str], seconds: float) -> None:
    """Waits until every way works again; a node that cannot be asked has none."""
    began = time.monotonic()
    run.sleep(min(_LEAST_SECONDS, seconds))
    while (left := seconds - (time.monotonic() - began)) > 0:
        seen = [_seen(run, instance, way, seconds=left) for way in ways]
        if all(one and one["changes"][-1]["ok"] for one in seen):
            return
        run.sleep(min(left, run.pace.poll))


def _of_metadata(run: Run, seen: Any, came_at: float, went_at: float, apart: float) -> list[Row]:
    """How late the metadata service told, and whether it always answered."""
    ec2 = run.account.client("ec2")
    (about,) = ec2.describe_addresses(AllocationIds=[addresses.own_address(run)])["Addresses"]
    ip = about["PublicIp"]

    def first(after: float, before: float, there: bool) -> float | None:
        for change in seen["changes"]:
            shown = change["addresses"]
            if after <= change["at"] <= before and shown is not None and (ip in shown) is there:
                return float(change["at"] - after)
        return None

    came, went = first(came_at, went_at, True), first(went_at, seen["until"], False)
    return [
        judge.metadata_lag(came, went, run.pace.came),
        judge.metadata_alone(seen["asked"], seen["silent"], apart),
    ]


def _seen(
    run: Run, instance: str, probe: str, *, whole: bool = False, seconds: float | None = None
) -> Any:
    """What a probe has seen so far, None where it has not begun or cannot be asked in time.

    Raises:
        AcceptanceError: With `whole`, instead of None.
    """
    try:
        return json.loads(run.nodes.run(instance, commands.ask("show", probe), seconds=seconds))
    except AcceptanceError:
        if whole:
            raise
        return None


def _check(row: str, seen: Any, came_at: float) -> None:
    """Refuses what would be judged as something else than it is.

    Raises:
        AcceptanceError: The probe measured another way, or nothing worked before.
    """
    before = [change["ok"] for change in seen["changes"] if change["at"] < came_at]
    if not before or not before[-1]:
        raise AcceptanceError(f"{row}: {seen['url']} did not answer even before the address came")
    if seen["private"] is not (row == "way_endpoint"):
        kind = "a private address" if seen["private"] else "public addresses"
        raise AcceptanceError(f"{row}: {seen['url']} has {kind} on this node")
