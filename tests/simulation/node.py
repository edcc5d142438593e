"""One EC2 instance of the model: power, disk, processes, and what runs on it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from eip_agent.remember.sight import Word
from greenlet import getcurrent

from simulation import shims
from simulation.agent import AgentProcess
from simulation.clock import EPOCH_SECONDS, Loop, Process
from simulation.pacemaker import PacemakerCluster
from simulation.pacemaker_state import Peer
from simulation.region import Region
from simulation.resource_agent import ResourceAgent

AGENT_START_SECONDS = (0.3, 2.5)
STACK_START_SECONDS = (1.0, 5.0)


class Node:
    """A node of a cluster; its Pacemaker is a `Peer` of the cluster's model."""

    def __init__(
        self,
        region: Region,
        cluster: PacemakerCluster,
        peer: Peer,
        *,
        cluster_id: str,
        instance_id: str,
        interface_id: str,
        rng: random.Random,
        tell: Callable[[str], None],
    ) -> None:
        self.region, self.cluster, self.peer, self.rng = region, cluster, peer, rng
        self.loop: Loop = region.loop
        self.cluster_id, self.name, self.number = cluster_id, peer.name, peer.number
        self.instance_id, self.interface_id = instance_id, interface_id
        self.key = f"{cluster_id}/{peer.name}"
        self.zone = f"zone-{'abc'[peer.number % 3]}"
        self.resources = tuple(peer.resources)
        self._tell = tell
        self.incarnation = 0
        self.clock_offset = 0.0
        self.words: dict[str, Word] = {}
        self.powered = False
        self.powered_off_at = self.frozen_at = 0.0
        self.cuts_from_aws = 0
        self.way_back_at = float("-inf")
        self.stays_off = False
        """Dead for good, or not a part of the cluster yet."""

        self.said_name, self.watched = peer.name, self.resources
        """What the agent's settings say: its node's name, and the resources that it watches."""

        self.troubles: dict[str, list[str]] = {}
        self._plain_running: set[str] = set()
        self.resource_agent = ResourceAgent(self.loop, self.resources, self._ask, self.metadata_ips)
        self.agent: AgentProcess | None = None
        shims.VIEWS[self.key] = lambda: cluster.shown(peer)
        shims.QUORUM_MODES[self.key] = cluster.quorum_mode
        shims.TROUBLES[self.key] = self.trouble

    @property
    def aws_cut(self) -> bool:
        """Whether AWS's endpoints cannot be reached from here."""
        return self.cuts_from_aws > 0 or self.loop.now < self.way_back_at

    def trouble(self, command: str) -> str:
        """What is wrong with one of the cluster's commands here, empty if nothing is."""
        found = self.troubles.get(command)
        return found[-1] if found else ""

    def is_plain(self, resource: str) -> bool:
        """Whether a resource is not of our resource agent."""
        return resource in self.cluster.configuration.plain

    @property
    def is_frozen(self) -> bool:
        """Whether nothing here gets a turn."""
        return self.peer.process.frozen

    def say(self, sentence: str, **fields: Any) -> None:
        """The agent's log."""
        self._tell(f"{self.key}: {sentence} {fields or ''}")

    def wall_ms(self) -> int:
        """The node's wall clock."""
        return int((self.loop.now + EPOCH_SECONDS + self.clock_offset) * 1000)

    def stood_still_since(self) -> float:
        """Since when nothing runs here, for want of power or frozen; later than now if it does."""
        if not self.powered:
            return self.powered_off_at
        return self.frozen_at if self.peer.process.frozen else self.loop.now + 1.0

    def boot(self) -> None:
        """Power on: the agent and the cluster stack come up, each in its time."""
        self.powered = True
        self.words = {}
        self._plain_running.clear()
        self.resource_agent.files.clear()
        shims.FILES.pop(f"{self.key}/run/orders.json", None)
        self.peer.process = Process(f"{self.key} pacemaker", self.clock_offset)
        self.start_agent()
        self.start_stack()

    def start_stack(self) -> None:
        """Starts Corosync and Pacemaker after a while, unless they run by then."""
        process = self.peer.process

        def start() -> None:
            if self.peer.stack != "up" and self.peer.process is process:
                self.cluster.start(self.peer)

        self.loop.at(self.rng.uniform(*STACK_START_SECONDS), start, process)

    def start_agent(self) -> None:
        """Starts the agent after a while."""
        agent = self.agent = AgentProcess(self)
        self.loop.at(self.rng.uniform(*AGENT_START_SECONDS), agent.start, agent.process)

    def cut_power(self) -> None:
        """Everything here ends where it stands."""
        self.powered, self.powered_off_at = False, self.loop.now
        if self.agent:
            self.agent.end(cleanly=False)
        self.peer.process.kill()
        self.cluster.lose(self.peer, "down")

    def restart_agent(self, *, cleanly: bool) -> None:
        """The agent ends, by a restart or a crash, and systemd starts it again."""
        if self.agent:
            self.agent.end(cleanly=cleanly)
        self.start_agent()

    def freeze(self) -> None:
        """Nothing here gets a turn any more."""
        self.frozen_at = self.loop.now
        for process in self._processes():
            self.loop.freeze(process)
        self.cluster.corosync.refresh()

    def thaw(self) -> None:
        """Everything here goes on."""
        for process in self._processes():
            self.loop.thaw(process)
        self.cluster.corosync.woke()
        # What was asked of a DC that stood still is done now.
        self.cluster.schedule(self.peer.side)

    def jump_clock(self, seconds: float) -> None:
        """The wall clock is set."""
        self.clock_offset += seconds
        for process in self._processes():
            process.clock_offset = self.clock_offset

    def _processes(self) -> list[Process]:
        return [self.peer.process, *([self.agent.process] if self.agent else [])]

    def run_resource_agent(
        self, resource: str, action: str, seconds: float, done: Callable[[int], None]
    ) -> None:
        """Pacemaker's executor runs one action."""
        if self.is_plain(resource):
            self._run_plain(resource, action, done)
            return
        marked = self.resource_agent.marked(resource)

        def told(code: int) -> None:
            self.region.watch.operation(self, resource, action, code, marked=marked)
            done(code)

        if action == "start":
            self.region.watch.started(self, resource)
        self.resource_agent.run(self.peer.process, resource, action, seconds, told)

    def _run_plain(self, resource: str, action: str, done: Callable[[int], None]) -> None:
        """An action of somebody else's resource agent, which asks nobody."""
        running = self._plain_running

        def act() -> None:
            if action == "start":
                running.add(resource)
            elif action == "stop":
                running.discard(resource)
                self.region.watch.stopped_by_pacemaker(self, resource)
            done(7 if action == "monitor" and resource not in running else 0)

        seconds = 0.03 if action == "monitor" else self.rng.uniform(0.1, 1.0)
        self.loop.at(seconds, act, self.peer.process)

    def links(self, node_ids: Mapping[int, str]) -> Mapping[int, bool] | None:
        """Which nodes Corosync's links reach, None where Corosync does not run."""
        if self.peer.stack != "up":
            return None
        return {i: self.cluster.corosync.sees(self.peer, name) for i, name in node_ids.items()}

    def metadata_ips(self) -> tuple[str, ...]:
        """What the metadata service says is on this instance."""
        return self.region.ec2.shown_ips(self.loop.now, self.interface_id)

    def crm_resource(self, arguments: list[str]) -> str:
        """The six things that an agent asks of Pacemaker."""
        if self.peer.stack != "up":
            return "exit status 102: Not connected"
        resource = arguments[arguments.index("--resource") + 1]
        if resource not in self.peer.resources:
            return f"exit status 105: Resource '{resource}' not found"
        if "--cleanup" in arguments:
            self.cluster.clean_up(self.peer, resource, arguments[arguments.index("--node") + 1])
        elif "--fail" in arguments:
            self.cluster.fail(self.peer, resource)
        elif "--refresh" in arguments:
            self.cluster.refresh(self.peer, resource, arguments[arguments.index("--node") + 1])
        elif "--move" in arguments:
            lifetime = arguments[arguments.index("--lifetime") + 1]
            seconds = 60.0 * int(lifetime.removeprefix("PT").removesuffix("M"))
            target = arguments[arguments.index("--node") + 1]
            self.cluster.move(self.peer, resource, target, seconds)
        else:
            node = arguments[arguments.index("--node") + 1] if "--node" in arguments else ""
            self.cluster.clear(self.peer, resource, node)
        return ""

    def _ask(self, request: dict[str, Any], seconds: float) -> str:
        """The resource agent's side of the socket: waits for the agent, or for its end."""
        agent, loop = self.agent, self.loop
        if agent is None or not agent.serves:
            return ""
        task = getcurrent()
        answers: list[str] = []

        def answer(text: str) -> None:
            if not answers:
                answers.append(text)
                timer.cancel()
                loop.at(0.0, task.switch, task.process)  # type: ignore[attr-defined]

        def serve() -> None:
            reply = agent.handle(request, lambda: not answers)
            answer(json.dumps(dict(reply), separators=(",", ":")))

        timer = loop.at(seconds, lambda: answer(""), task.process)  # type: ignore[attr-defined]
        agent.waiting.append(answer)
        loop.spawn(serve, agent.process)
        loop.pause()
        agent.waiting.remove(answer)
        return answers[0]
