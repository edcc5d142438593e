"""Plays one round: faults are put on a whole cluster and lifted, then all must become whole."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter

from lab.cluster.protocol import ClusterError
from lab.rounds.facts import End, Facts, Put
from lab.rounds.injections import INJECTIONS, Lab, keep_agents_running
from lab.rounds.plan import Fault, Plan
from lab.rounds.recorder import RESOURCE, Recorder
from lab.site import CLUSTER_ID

WHOLE_SECONDS = 120.0
"""For liveness, on a loaded machine: what takes longer is a violation."""

_STAYS_SECONDS = 1.0
_LOOK_SECONDS = 0.2


class NotCalmError(Exception):
    """The cluster was not whole when a round was to begin: the lab must be made anew."""


def play(lab: Lab, recorder: Recorder, plan: Plan) -> Facts:
    """One round on a lab that is whole; afterwards it is whole again, or the facts say why not.

    Raises:
        NotCalmError: it was not whole to begin with.
    """
    look = Look(lab)
    if look.wait(WHOLE_SECONDS):
        raise NotCalmError(look.trouble)
    # Many faults in ten minutes put the flap brake on, as they should: an operator takes note.
    lab.aws.invoke("Operate", {"verb": "acknowledge", "cluster": CLUSTER_ID})
    holder = look.started_on[0]
    term, before = look.term, lab.site.running_since(holder)
    dead_letters = recorder.dead_letters()
    recorder.forget()
    began_at = time.monotonic()
    puts, agents_ended, trouble = _put_on_and_lift(lab, plan, holder)
    lifted_at = time.monotonic()
    dead = frozenset(put.node for put in puts if put.kind.stays)
    if trouble:
        look.trouble = trouble
    else:
        look.wait(WHOLE_SECONDS, dead)
    seconds = time.monotonic() - lifted_at
    facts = Facts(
        plan=plan,
        nodes=tuple(lab.cluster.nodes),
        holder=holder,
        term=term,
        began_at=began_at,
        puts=puts,
        agents_ended=agents_ended,
        moves=recorder.moves(began_at),
        operations=recorder.operations(),
        lines=recorder.lines(began_at),
        heard=recorder.heard(),
        function_errors=recorder.function_errors(),
        calls=recorder.calls(began_at),
        mark_before=before,
        mark_after=None if holder in dead else lab.site.running_since(holder),
        end=End(
            seconds=seconds,
            trouble=look.trouble,
            started_on=look.started_on,
            ec2_holder=lab.world.holder() or "",
            table_holder=look.table_holder,
            table_term=look.term,
            phase=look.phase,
            failures=look.failures,
            constraints=_constraints(lab),
            dead_letters=recorder.dead_letters() - dead_letters,
        ),
        export=recorder.export(),
    )
    for node in dead:
        lab.cluster.power_on(node)
    return facts


class Look:
    """One look after another at the whole lab: Pacemaker on every node, EC2, and the table."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.trouble = "nobody has looked"
        self.started_on: tuple[str, ...] = ()
        self.failures: tuple[str, ...] = ()
        self.table_holder, self.term, self.phase = "", 0, ""

    def wait(self, seconds: float, dead: frozenset[str] = frozenset()) -> str:
        """Waits until all is whole, and still is a moment later; returns what is not.

        What the dead are to do is left to the living.
        """
        deadline = time.monotonic() + seconds
        whole_since: float | None = None
        while time.monotonic() < deadline:
            self.trouble = self._nodes(dead) or self._arbiter(dead)
            now = time.monotonic()
            whole_since = None if self.trouble else whole_since or now
            if whole_since is not None and now - whole_since >= _STAYS_SECONDS:
                break
            time.sleep(_LOOK_SECONDS)
        return self.trouble

    def _nodes(self, dead: frozenset[str]) -> str:
        """What Pacemaker says on each node, and whether the agents run."""
        names = tuple(sorted(set(self._lab.cluster.nodes) - dead))
        started: set[tuple[str, ...]] = set()
        for name in names:
            view = self._lab.cluster.view(name)
            if view is None:
                return f"Pacemaker does not answer on {name}"
            self.failures = tuple(
                f"{f.operation} on {f.node}: {f.exit_status} {f.exit_reason}".strip()
                for f in view.failures
            )
            if view.online != names or view.dc is None or view.failures:
                return f"{name} says: {view}; failures: {'; '.join(self.failures) or 'none'}"
            started.add(view.started_on(RESOURCE))
            if not self._lab.cluster.node(name).pids("eip-agent"):
                return f"the agent does not run on {name}"
        if len(started) != 1:
            return f"the nodes do not agree where it runs: {sorted(started)}"
        (self.started_on,) = started
        marks = tuple(n for n in names if self._lab.site.running_since(n) is not None)
        if len(self.started_on) != 1 or marks != self.started_on:
            return f"it is started on {self.started_on}, the resource agent's mark is on {marks}"
        return ""

    def _arbiter(self, dead: frozenset[str]) -> str:
        """What the control plane says, and whether EC2 agrees."""
        status = self._lab.aws.invoke("Operate", {"verb": "status", "cluster": CLUSTER_ID}).result
        (address,) = status["addresses"]
        self.table_holder = address["holder"] or ""
        self.term, self.phase = int(address["term"]), address["phase"]
        if address["split_brain"] or address["order"] or self.phase != "settled":
            return f"the table says {address}"
        for node in status["nodes"]:
            if node["node"] in dead:
                continue
            if set(node["suspects"]) - dead or node["pacemaker"] != "online":
                return f"the table says of {node['node']}: {node}"
        on = {self.table_holder, self._lab.world.holder() or "", *self.started_on}
        return "" if len(on) == 1 else f"{RESOURCE}, the table and EC2 do not agree: {sorted(on)}"


def _put_on_and_lift(
    lab: Lab, plan: Plan, holder: str
) -> tuple[tuple[Put, ...], tuple[str, ...], str]:
    """Puts all faults on, each at its time, and waits until all are lifted.

    Returns:
        The faults as they were, the nodes whose agent ended by itself, and how the lab broke.
    """
    others = [name for name in lab.cluster.nodes if name != holder]
    by_role = [holder, *others]
    puts: list[Put] = []
    broken: list[str] = []
    held: Counter[str] = Counter()
    agents_ended: list[str] = []
    ended = threading.Event()
    began = time.monotonic()

    def run(fault: Fault) -> None:
        time.sleep(max(0.0, began + fault.at - time.monotonic()))
        try:
            puts.append(_put(lab, fault, by_role[fault.role], held))
        except (ClusterError, OSError, subprocess.SubprocessError) as error:
            broken.append(f"{fault}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=(fault,), daemon=True) for fault in plan.faults]
    systemd = threading.Thread(
        target=keep_agents_running, args=(lab, held, agents_ended, ended), daemon=True
    )
    for thread in (*threads, systemd):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    systemd.join()
    in_order = tuple(sorted(puts, key=lambda put: put.put_at))
    return in_order, tuple(agents_ended), "; ".join(broken)


def _put(lab: Lab, fault: Fault, node: str, held: Counter[str]) -> Put:
    """Puts one fault on, holds it for its time, proves that it is there, and lifts it."""
    held[node] += 1
    put_at = time.monotonic()
    with INJECTIONS[fault.kind](lab, node) as proof:
        in_force_at = time.monotonic()
        time.sleep(fault.seconds)
        not_real = proof()
        lifting_at = time.monotonic()
    lifted_at = time.monotonic()
    held[node] -= 1
    return Put(fault.kind, node, put_at, in_force_at, lifting_at, lifted_at, not_real)


def _constraints(lab: Lab) -> int:
    """How many bans and preferences of moves are left in Pacemaker's configuration."""
    for name in lab.cluster.nodes:
        if lab.cluster.view(name) is not None:
            xml = lab.cluster.run(name, ["cibadmin", "-Q", "-o", "constraints"], check=False).stdout
            return xml.count('id="cli-')
    return 0
