"""How each kind of fault is put on a real cluster, proved to be there, and lifted.

Each is a context: entered, the fault is in force; what it yields says in what way the fault is not
what its name says, or nothing; left, the fault is over and the node has what it needs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from botocore.exceptions import ClientError

from lab.cluster import membership, network
from lab.cluster.protocol import AwsCut, ClusterError
from lab.cluster.real import RealCluster
from lab.embedded.cloud import EmbeddedAws
from lab.embedded.faults import Mode
from lab.embedded.world import World
from lab.real_site import start_agent
from lab.rounds.story import LATE_SECONDS
from lab.site import Site

Proof = Callable[[], str]
Injection = Callable[["Lab", str], contextlib.AbstractContextManager[Proof]]

AGENT_RESTART_SECONDS = 1.0
"""`RestartSec` of the agent's unit."""

_PROBE_SECONDS = 0.4
_PROBE = """import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), {seconds})
except (ConnectionRefusedError, ConnectionResetError):
    print("refused")
except OSError:
    print("silence")
else:
    print("open")
"""
_CLOSED_PORT = 9
_CRM_MON = "/usr/local/sbin/crm_mon"
_TIMED_OUT, _DISCONNECTED = 124, 102
_NOT_CONNECTED = """#!/bin/sh
echo '<pacemaker-result><status code="102" message="Not connected"/></pacemaker-result>'
exit 102
"""
_CIB_SECONDS, _STAYS_GONE_SECONDS = 30.0, 3.0
_AGENT_STOP_SECONDS = 1.5
"""For the last report; systemd allows it ten."""


@dataclass(frozen=True)
class Lab:
    """Where rounds are played."""

    site: Site
    cluster: RealCluster
    aws: EmbeddedAws
    world: World


def probe(lab: Lab, node: str, address: str, port: int) -> str:
    """What a connection from a node meets: `open`, `refused` (somebody is there) or `silence`.

    `no power` where another fault took the node's meanwhile.
    """
    script = _PROBE.format(seconds=_PROBE_SECONDS)
    command = ["python3", "-IS", "-c", script, address, str(port)]
    done = lab.cluster.run(node, command, check=False)
    return "no power" if done.returncode == -signal.SIGKILL else done.stdout.strip()


@contextlib.contextmanager
def stop(lab: Lab, node: str) -> Iterator[Proof]:
    """Pacemaker and Corosync are stopped in good order, as their units do."""
    lab.cluster.stop(node)
    yield lambda: _still_there(lab, node, "corosync") or _still_there(lab, node, "pacemaker")
    lab.cluster.start(node)


@contextlib.contextmanager
def power_loss(lab: Lab, node: str) -> Iterator[Proof]:
    """Links and processes are gone at once; the disk stays."""
    lab.cluster.power_off(node)
    yield lambda: "it has power" if lab.cluster.node(node).powered else ""
    lab.cluster.power_on(node)


def _shut_down(lab: Lab, node: str) -> None:
    """As systemd does it: the agent's unit is stopped after Pacemaker's and Corosync's."""
    lab.cluster.stop(node)
    for pid in lab.cluster.node(node).pids("eip-agent"):
        os.kill(pid, signal.SIGTERM)
    time.sleep(_AGENT_STOP_SECONDS)
    lab.cluster.power_off(node)


@contextlib.contextmanager
def reboot(lab: Lab, node: str) -> Iterator[Proof]:
    """Power goes and comes, in good order."""
    _shut_down(lab, node)
    yield lambda: "it has power" if lab.cluster.node(node).powered else ""
    lab.cluster.power_on(node)


@contextlib.contextmanager
def leaves_and_joins(lab: Lab, node: str) -> Iterator[Proof]:
    """The node is taken out of the cluster; then a new one of its name joins the running rest."""
    _shut_down(lab, node)
    membership.remove(lab.cluster, node)
    yield lambda: membership.is_known(lab.cluster, node)
    membership.add(lab.cluster, node)


@contextlib.contextmanager
def dead_for_good(lab: Lab, node: str) -> Iterator[Proof]:
    """Power loss of which nobody is told, and which nobody ends: the round is judged without it."""
    lab.cluster.power_off(node)
    yield lambda: "it has power" if lab.cluster.node(node).powered else ""


@contextlib.contextmanager
def freeze(lab: Lab, node: str) -> Iterator[Proof]:
    """Every process of the node stands still; its kernel still answers."""
    lab.cluster.freeze(node)
    yield (
        lambda: (
            _awake(lab.cluster.node(node).pids("corosync"))
            or _awake(lab.cluster.node(node).pids("eip-agent"))
        )
    )
    lab.cluster.thaw(node)


@contextlib.contextmanager
def kill_corosync(lab: Lab, node: str) -> Iterator[Proof]:
    """SIGKILL for Corosync alone; later its whole stack is started anew."""
    lab.cluster.kill_corosync(node)
    yield lambda: _still_there(lab, node, "corosync")
    lab.cluster.restart_cluster_stack(node)


@contextlib.contextmanager
def kill_pacemaker(lab: Lab, node: str) -> Iterator[Proof]:
    """SIGKILL for all of Pacemaker; the resource and Corosync run on."""
    lab.cluster.kill_pacemaker(node)
    yield lambda: _still_there(lab, node, "pacemaker")
    lab.cluster.start(node)


@contextlib.contextmanager
def partition(lab: Lab, node: str) -> Iterator[Proof]:
    """The ring is cut between this node and all others."""
    lab.cluster.partition(node)
    others = [n for n in lab.cluster.nodes if n != node]
    met = [_ring_probe(lab, node, other) for other in others]
    yield lambda: "" if set(met) <= {"silence", "no power"} else f"the ring gave {met}"
    lab.cluster.heal()


def loss(way: Literal["in", "out"]) -> Injection:
    """All that reaches a node over the ring is dropped, or all that it sends to the others."""

    @contextlib.contextmanager
    def put_on(lab: Lab, node: str) -> Iterator[Proof]:
        # Dropped where it arrives: dropped where it is sent, Corosync would be told.
        sender = lab.cluster.node(node).number if way == "out" else None
        there = [n for n in lab.cluster.nodes if (n == node) == (way == "in")]
        pids = [lab.cluster.node(n).pid for n in there]
        for pid in pids:
            network.drop(pid, network.from_ring(sender))
        dropped: list[int] = []

        def proof() -> str:
            dropped.extend(network.accept(pid, network.from_ring(sender)) for pid in pids)
            return "" if all(dropped) else f"{dropped} packets were dropped"

        yield proof

    return put_on


@contextlib.contextmanager
def kill_agent(lab: Lab, node: str) -> Iterator[Proof]:
    """SIGKILL for the agent, which systemd would start again: here after the fault's time."""
    lab.cluster.node(node).kill("eip-agent")
    yield lambda: _still_there(lab, node, "eip-agent")
    start_agent(lab.cluster, node)


@contextlib.contextmanager
def freeze_agent(lab: Lab, node: str) -> Iterator[Proof]:
    """The agent alone stands still."""
    pids = lab.cluster.node(node).pids("eip-agent")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield lambda: _awake(pids)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    # The `nsenter` that brought it there stops along with it.
    lab.cluster.node(node).wake_entrances()


def aws_cut(how: AwsCut, *, everywhere: bool = False) -> Injection:
    """One node, or every node, loses AWS; the metadata service stays."""

    @contextlib.contextmanager
    def put_on(lab: Lab, node: str) -> Iterator[Proof]:
        nodes = lab.cluster.nodes if everywhere else [node]
        for name in nodes:
            lab.cluster.cut_aws(name, how)
        met = [_aws_probe(lab, name) for name in nodes]
        expected = {"refused" if how == "refuse" else "silence", "no power"}
        yield lambda: "" if set(met) <= expected else f"AWS gave {met}"
        for name in nodes:
            lab.cluster.restore_aws(name)

    return put_on


def service_fault(mode: Mode, *services: str) -> Injection:
    """Services of AWS answer with errors, to nodes and functions alike."""

    @contextlib.contextmanager
    def put_on(lab: Lab, _node: str) -> Iterator[Proof]:
        faults = [lab.aws.faults.set(mode, service=service) for service in services]
        refused = [_is_refused(lab, service) for service in services]
        yield lambda: "" if all(refused) else f"{services} answered: {refused}"
        for fault in faults:
            fault.clear()

    return put_on


def tampering(
    *, drop: float = 0.0, duplicate: float = 0.0, delay_seconds: float = 0.0
) -> Injection:
    """Events are lost, doubled and late on their way to the function."""

    @contextlib.contextmanager
    def put_on(lab: Lab, _node: str) -> Iterator[Proof]:
        # What becomes of each event is drawn anew in each round: the plan says when, not which.
        it = lab.aws.events.tamper(
            drop=drop, duplicate=duplicate, delay_seconds=(0.0, delay_seconds)
        )
        yield lambda: "" if it.active else "nothing was tampered with"
        it.clear()

    return put_on


def crm_mon(script: str, expected_status: int) -> Injection:
    """A node's `crm_mon` is another program: Pacemaker itself runs on and is not asked."""

    @contextlib.contextmanager
    def put_on(lab: Lab, node: str) -> Iterator[Proof]:
        # Before the real one on the path of everything that runs there.
        place = lab.cluster.node(node)
        place.install(_CRM_MON, script, mode=0o755)
        ask = ["timeout", str(_PROBE_SECONDS), "crm_mon", "-1"]
        met = place.run(ask, check=False).returncode
        yield lambda: "" if met == expected_status else f"crm_mon ended with {met}"
        place.path(_CRM_MON).unlink()

    return put_on


@contextlib.contextmanager
def acl_on(lab: Lab, _node: str) -> Iterator[Proof]:
    """Pacemaker's ACLs are on, and nobody has a role: only root and hacluster may read."""
    _set_property(lab, "--update", "true")
    met = _property(lab)
    yield lambda: "" if met == "true" else f"enable-acl is {met!r}"
    gone_since = began = time.monotonic()
    while time.monotonic() < min(gone_since + _STAYS_GONE_SECONDS, began + _CIB_SECONDS):
        # A node that is just joining takes the change, and loses it to the others' configuration.
        _set_property(lab, "--delete")
        time.sleep(0.5)
        if _property(lab) == "true":
            gone_since = time.monotonic()


def _set_property(lab: Lab, *how: str) -> None:
    """Sets or deletes enable-acl where Pacemaker answers; it may be away on every node for a while.

    Raises:
        ClusterError: nobody took it.
    """
    command = ["crm_attribute", "--type", "crm_config", "--name", "enable-acl", *how]
    deadline = time.monotonic() + _CIB_SECONDS
    while time.monotonic() < deadline:
        for name in lab.cluster.nodes:
            if not lab.cluster.node(name).powered:
                continue
            if lab.cluster.run(name, command, check=False).returncode == 0:
                return
        time.sleep(0.5)
    raise ClusterError("no Pacemaker took the property enable-acl")


def _property(lab: Lab) -> str:
    ask = ["crm_attribute", "--type", "crm_config", "--name", "enable-acl", "--query", "--quiet"]
    answers = (
        lab.cluster.run(name, ask, check=False).stdout.strip()
        for name in lab.cluster.nodes
        if lab.cluster.node(name).powered
    )
    return next(filter(None, answers), "")


def metadata(how: Literal["DROP", "REJECT"]) -> Injection:
    """A node's metadata service refuses, or does not answer."""

    @contextlib.contextmanager
    def put_on(lab: Lab, node: str) -> Iterator[Proof]:
        pid = lab.cluster.node(node).pid
        network.drop(pid, network.TO_METADATA, how)
        met = probe(lab, node, network.METADATA_ADDRESS, 80)
        expected = "silence" if how == "DROP" else "refused"
        yield lambda: "" if met == expected else f"the metadata service gave {met}"
        network.accept(pid, network.TO_METADATA, how)

    return put_on


INJECTIONS: Mapping[str, Injection] = {
    "stop": stop,
    "power_loss": power_loss,
    "reboot": reboot,
    "leaves_and_joins": leaves_and_joins,
    "dead_for_good": dead_for_good,
    "freeze": freeze,
    "kill_corosync": kill_corosync,
    "kill_pacemaker": kill_pacemaker,
    "partition": partition,
    "loss_in": loss("in"),
    "loss_out": loss("out"),
    "kill_agent": kill_agent,
    "freeze_agent": freeze_agent,
    "aws_unreachable": aws_cut("unreachable"),
    "aws_refused": aws_cut("refuse"),
    "aws_blackhole": aws_cut("blackhole"),
    "aws_away": aws_cut("blackhole", everywhere=True),
    "aws_errors": service_fault("error", "dynamodb", "ec2", "events"),
    "aws_throttles": service_fault("throttle", "dynamodb", "ec2", "events"),
    "ec2_errors": service_fault("error", "ec2"),
    "events_lost": tampering(drop=0.5),
    "events_late": tampering(duplicate=0.3, delay_seconds=LATE_SECONDS),
    "crm_mon_hangs": crm_mon("#!/bin/sh\nexec sleep 3600\n", _TIMED_OUT),
    "crm_mon_fails": crm_mon("#!/bin/sh\nexit 1\n", 1),
    "crm_mon_not_connected": crm_mon(_NOT_CONNECTED, _DISCONNECTED),
    "acl_on": acl_on,
    "metadata_refused": metadata("REJECT"),
    "metadata_hangs": metadata("DROP"),
}
"""One for each kind of `lab.rounds.plan`."""


def keep_agents_running(
    lab: Lab, held: Mapping[str, int], ended_by_itself: list[str], over: threading.Event
) -> None:
    """Plays the part of systemd for agents that end by themselves: `Restart=always`.

    Args:
        lab: where the nodes are.
        held: on how many faults' account a node's agent may be down.
        ended_by_itself: gets the name of each node whose agent had to be started again.
        over: ends this.
    """
    while not over.wait(AGENT_RESTART_SECONDS):
        for name in lab.cluster.nodes:
            node = lab.cluster.node(name)
            if held.get(name) or not node.powered or node.pids("eip-agent"):
                continue
            if not held.get(name):  # no fault began while the processes were counted
                ended_by_itself.append(name)
                start_agent(lab.cluster, name)


def _still_there(lab: Lab, node: str, program: str) -> str:
    pids = lab.cluster.node(node).pids(program)
    return f"{program} still runs: {pids}" if pids else ""


def _awake(pids: list[int]) -> str:
    states = {}
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat").read_text()
        states[pid] = stat.rpartition(") ")[2][0]
    frozen = bool(states) and set(states.values()) == {"T"}
    return "" if frozen else f"not all stand still: {states}"


def _ring_probe(lab: Lab, node: str, other: str) -> str:
    if not (lab.cluster.node(node).powered and lab.cluster.node(other).powered):
        return "no power"
    return probe(lab, node, network.ring_address(lab.cluster.node(other).number), _CLOSED_PORT)


def _aws_probe(lab: Lab, node: str) -> str:
    if not lab.cluster.node(node).powered:
        return "no power"
    return probe(lab, node, network.AWS_ADDRESS, int(lab.aws.endpoint_url.rpartition(":")[2]))


def _is_refused(lab: Lab, service: str) -> bool:
    ask = {
        "dynamodb": lambda: lab.aws.client("dynamodb", "lab").list_tables(),
        "ec2": lambda: lab.aws.client("ec2", "lab").describe_addresses(),
        "events": lambda: lab.aws.client("events", "lab").list_rules(),
    }
    try:
        ask[service]()
    except ClientError:
        return True
    return False
