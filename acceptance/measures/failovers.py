"""The three ways by which the service changes its node, each from a cluster that is well."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from acceptance import judge
from acceptance.on_node import commands
from acceptance.rows import Row
from acceptance.run import RESOURCE, Run

_FAILURE = re.compile(r"<failure [^>]*>")
_OPERATION, _NODE = re.compile(r'op_key="([^"]*)"'), re.compile(r'node="([^"]*)"')


def order(run: Run) -> list[Row]:
    """The operator's `failover`."""

    def act(_holder: str, standby: str) -> Callable[[], float]:
        began = time.time()
        run.operate("failover", target=standby, by="acceptance", reason="acceptance run")
        return lambda: began

    return [_failover(run, "order", act)]


def switchover(run: Run) -> list[Row]:
    """Pacemaker is told to move the resource, and the address follows."""

    def act(holder: str, standby: str) -> Callable[[], float]:
        began = time.time()
        run.nodes.run(run.instances()[holder], commands.move(RESOURCE, standby))
        return lambda: began

    row = _failover(run, "switchover", act)
    holder, _ = run.holder()
    run.nodes.run(run.instances()[holder], commands.clear(RESOURCE))
    return [row]


def power_loss(run: Run) -> list[Row]:
    """The holder's kernel starts anew without a word; when it did so is on its disk."""

    def act(holder: str, _standby: str) -> Callable[[], float]:
        instance = run.instances()[holder]
        run.nodes.run(instance, commands.POWER_LOSS)
        return lambda: float(run.nodes.run(instance, commands.LAST_MOMENT))

    return [_failover(run, "power_loss", act)]


def _failover(run: Run, row_id: str, act: Callable[[str, str], Callable[[], float]]) -> Row:
    """Waits until all is well, acts, and waits until the service runs on the other node."""
    run.say("waiting until the product is well")
    run.await_well()
    run.operate("acknowledge", by="acceptance", reason="the brake is not what is measured")
    holder, standby = run.holder()
    (before,) = run.operate("status")["addresses"]
    run.say(f"{row_id}: from {holder} to {standby}")
    began_at = act(holder, standby)
    served = run.pace.until(
        lambda: _serves(run, standby),
        f"the service and its address are on {standby}",
        run.pace.failover,
        every=min(1.0, run.pace.look),
    )
    began = began_at()
    granted = _granted(run, before["term"])
    run.await_well()
    banned = _banned(run, run.instances()[standby])
    return judge.moved(row_id, granted - began if granted else None, served - began, banned)


def _banned(run: Run, instance: str) -> list[str]:
    """The failures that Pacemaker still remembers once the agents had their time to clean up."""
    deadline = time.monotonic() + run.pace.message
    while True:
        shown = run.nodes.run(instance, commands.LIST_CLUSTER)
        failures = failures_in(shown)
        if not failures or time.monotonic() > deadline:
            return failures
        run.sleep(run.pace.poll)


def failures_in(crm_mon: str) -> list[str]:
    """The failed operations in what `crm_mon --output-as=xml` prints."""
    return [
        f"{' '.join(_OPERATION.findall(tag))} on {' '.join(_NODE.findall(tag))}"
        for tag in _FAILURE.findall(crm_mon)
    ]


def _serves(run: Run, node: str) -> float | None:
    """The time (since 1970) at which the service was seen there with its address, or None."""
    status = run.operate("status")
    (address,) = status["addresses"]
    here = next((n for n in status["nodes"] if n["node"] == node), None)
    on = address["holder"] == node and address["phase"] == "settled"
    runs = here is not None and here["resources"].get(RESOURCE) == "started"
    return time.time() if on and runs else None


def _granted(run: Run, term: int) -> float | None:
    """When the first term after this one began, by the arbiter's clock; None if it is not told."""
    lines: list[dict[str, Any]] = run.operate("history")["lines"]
    told = [datetime.fromisoformat(line["at"]).timestamp() for line in lines if line["term"] > term]
    return min(told) if told else None
