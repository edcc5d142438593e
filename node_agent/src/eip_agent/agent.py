"""The agent's shared state, and what each of its threads does with it.

Threads bring facts in (Pacemaker, links, status, metadata), the pulse composes a report when there
is news or the promise falls due, and the socket's threads ask. Judgement is in `view` and
`verdicts`; here are only the lock, the clocks and the order of things.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Mapping

from eip_agent import view as views
from eip_agent.channel import ExchangeError
from eip_agent.corosync import run
from eip_agent.followup import CleanUp, Orders, crm_resource
from eip_agent.memory import Words
from eip_agent.pacemaker import PacemakerView, parse_crm_mon, parse_quorum_mode
from eip_agent.publisher import Outcome, Publisher
from eip_agent.verdicts import Verdict, monitor_verdict, start_verdict
from eip_agent.view import NEVER, Sight, Word
from eip_contract.report import (
    MAX_NODES,
    NodeReport,
    Pacemaker,
    ResourceState,
    Suspect,
)

if TYPE_CHECKING:
    from eip_agent.aws import Events, Table
    from eip_agent.metadata import Identity, Keyring, MetadataService
    from eip_agent.server import Alive
    from eip_agent.settings import Settings

_CRM_MON_SECONDS = 5.0
_OBSERVE_STARTING_SECONDS, _OBSERVE_TROUBLED_SECONDS = 0.5, 2.0
_STATUS_STARTING_SECONDS = 0.2
_RELEASE_SECONDS = 0.3
_FRESH_GRANT_SECONDS = 30.0


@dataclass(frozen=True)
class Outside:
    """Everything the agent talks to."""

    events: Events
    table: Table
    metadata: MetadataService
    keyring: Keyring
    links: Any
    say: Callable[..., None]


class Agent:
    """One node's agent; all of its methods may be called from any thread."""

    def __init__(
        self, settings: Settings, identity: Identity, incarnation: int, outside: Outside
    ) -> None:
        self._settings, self._identity, self._outside = settings, identity, outside
        self._say = outside.say
        self._incarnation, self._seq = incarnation, 0
        now = time.monotonic()
        self._changed = threading.Condition(threading.RLock())
        self._remembered = Words(os.path.dirname(settings.socket))
        self._sight = Sight(
            node_name=settings.node_name,
            instance_id=identity.instance_id,
            now=now,
            words=self._remembered.load(now),
        )
        self._since: dict[str, tuple[object, float]] = {}
        self._last: NodeReport | None = None
        self._last_at = NEVER
        self._stopping = False
        self.publisher = Publisher(outside.events.put_report, Outcome("Publishing", self._say))
        self._status_outcome = Outcome("Reading the state", self._say)
        self._metadata_outcome = Outcome("Asking the metadata service", self._say)
        command = shlex.split(settings.crm_resource)
        self._clean_up = CleanUp(
            os.path.join(settings.state_dir, "failed-starts.json"),
            lambda arguments: crm_resource(command, arguments),
            self._say,
            now,
        )
        self._orders = Orders(lambda arguments: crm_resource(command, arguments), self._say)
        self.observer_wake, self.status_wake = threading.Event(), threading.Event()
        self.metadata_wake = threading.Event()

    # -- what is known ---------------------------------------------------------------------------

    def sight(self) -> Sight:
        """One consistent look at everything, as of now."""
        with self._changed:
            return dataclasses.replace(
                self._sight,
                now=time.monotonic(),
                publish_trouble=self.publisher.trouble,
                status_trouble=self._status_outcome.trouble,
            )

    def _know(self, **facts: Any) -> None:
        """Takes facts in and lets everybody who waits look again."""
        with self._changed:
            self._sight = dataclasses.replace(self._sight, **facts)
            self._changed.notify_all()

    def _set_word(self, resource: str, word: Word) -> None:
        with self._changed:
            words = {**self._sight.words, resource: word}
            self._remembered.save(words)
            absent = {**self._sight.absent_reads, resource: 0}
            self._know(words=words, absent_reads=absent)

    # -- the threads' steps: each returns the seconds until it should run again ----------------------

    def observe(self) -> float:
        """Asks Pacemaker and takes in what it says."""
        began = time.monotonic()
        command = [*shlex.split(self._settings.crm_mon), "-1", "--output-as=xml"]
        text = run(command, _CRM_MON_SECONDS)
        seen = parse_crm_mon(text, self._settings.node_name, self._settings.resources)
        mode = self._quorum_mode(seen)
        with self._changed:
            before = self._sight
            for resource in self._remembered.take_notes(self._settings.resources):
                self._say("The resource was stopped while the agent was away", resource=resource)
                self._set_word(resource, Word("stopped", began))
            facts: dict[str, Any] = {"pacemaker_at": began, "quorum_mode": mode}
            if seen.state in ("offline", "unknown"):
                # Corosync may still tell of links: keep who is who.
                kept = before.pacemaker
                seen = dataclasses.replace(seen, node_ids=kept.node_ids, left=kept.left)
            else:
                facts["last_roles"] = seen.roles
                facts["ever_seen"] = before.ever_seen | set(seen.members)
            self._know(pacemaker=seen, **facts)
        self._tell_membership(before.pacemaker, seen)
        s = self.sight()
        if any(word.state == "starting" for word in s.words.values()):
            return _OBSERVE_STARTING_SECONDS
        troubled = seen.state not in ("online", "standby") or views.lost_peers(s)
        return _OBSERVE_TROUBLED_SECONDS if troubled else self._settings.calm_seconds

    def _quorum_mode(self, seen: PacemakerView) -> str:
        if seen.state in ("offline", "unknown"):
            return "unknown"
        known = self.sight().quorum_mode
        if known != "unknown":
            return known
        command = [*shlex.split(self._settings.corosync_quorumtool), "-s"]
        return parse_quorum_mode(run(command, _CRM_MON_SECONDS))

    def _tell_membership(self, before: PacemakerView, after: PacemakerView) -> None:
        if (before.state, before.members) != (after.state, after.members):
            self._say(
                "Pacemaker's view changed",
                state=after.state,
                members=",".join(after.members),
                lost=",".join(sorted(after.lost)),
                quorate=after.quorate,
            )

    def watch_links(self) -> float:
        """Asks Corosync which nodes its links reach."""
        s = self.sight()
        own = s.pacemaker.node_ids.get(s.node_name)
        ids = [node_id for node_id in s.pacemaker.node_ids.values() if node_id != own]
        links = self._outside.links.read(ids)
        if links != s.links:
            names = {node_id: name for name, node_id in s.pacemaker.node_ids.items()}
            reached = ",".join(
                sorted(names.get(i, str(i)) for i, up in (links or {}).items() if up)
            )
            self._say("Corosync's links changed", reaches=reached, readable=links is not None)
            self._know(links=links)
            self.observer_wake.set()
        return self._settings.link_seconds

    def read_status(self) -> float:
        """Reads the cluster's state from the table."""
        s = self.sight()
        began = time.monotonic()
        starting = any(word.state == "starting" for word in s.words.values())
        try:
            status = self._outside.table.get_status(consistent=starting)
        except ExchangeError as error:
            self._status_outcome.failed(error)
        else:
            self._status_outcome.succeeded()
            self._take_status(s, status, began)
        if any(word.state == "starting" for word in self.sight().words.values()):
            return _STATUS_STARTING_SECONDS
        last = self._last
        calm = last is None or last.next_report_within_ms >= self._settings.calm_seconds * 1000
        return self._settings.status_seconds if calm else self._settings.alert_seconds

    def _take_status(self, s: Sight, status: Any, began: float) -> None:
        before = {} if s.status is None else s.status.last_reports
        reports = {} if status is None else status.last_reports
        advanced = {
            instance: began if before.get(instance) != order else s.advanced_at.get(instance, began)
            for instance, order in reports.items()
        }
        for resource in self._settings.resources:
            old = s.address(resource)
            new = None if status is None else status.addresses.get(resource)
            if new is not None and (
                old is None or (old.holder, old.term) != (new.holder, new.term)
            ):
                holder = "nobody" if new.holder is None else status.node_names.get(new.holder, "")
                self._say(
                    "The control plane says who holds the address",
                    resource=resource,
                    address=new.public_ip,
                    holder=holder or new.holder,
                    term=new.term,
                )
        self._know(status=status, status_at=began, advanced_at=advanced)

    def ask_metadata(self) -> float:
        """Renews credentials and reads the public addresses of this instance."""
        ips = None
        try:
            self._outside.keyring.refresh()
            ips = self._outside.metadata.public_ips()
        except ExchangeError as error:
            self._metadata_outcome.failed(error)
        else:
            self._metadata_outcome.succeeded()
        s = self.sight()
        absent = {}
        for resource, word in s.words.items():
            address = s.address(resource)
            expected = word.public_ip or (address.public_ip if address else "")
            missing = word.state == "started" and ips is not None and expected not in ips
            counted = s.absent_reads.get(resource, 0)
            absent[resource] = counted if ips is None else counted + 1 if missing else 0
        self._know(public_ips=ips, absent_reads=absent)
        fresh = any(
            word.state == "starting" or s.now - word.at < _FRESH_GRANT_SECONDS
            for word in s.words.values()
        )
        near = fresh or ips is None or any(absent.values())
        return self._settings.alert_seconds if near else self._settings.calm_seconds

    def follow_up(self) -> float:
        """Cleans up after refused starts and follows orders."""
        s = self.sight()
        self._clean_up.step(s)
        self._orders.step(s, int(time.time() * 1000))
        self._know()
        return 1.0

    # -- reports ---------------------------------------------------------------------------------

    def pulse(self) -> float:
        """Publishes a report if there is news or one is due; returns the seconds to the next."""
        with self._changed:
            self._emit()
            within = (self._last.next_report_within_ms if self._last else 0) / 1000
            if self.publisher.trouble:
                within = min(within, self._settings.alert_seconds)
            return self._last_at + within - time.monotonic()

    def wait(self, seconds: float) -> None:
        """Waits for news, at most so long."""
        with self._changed:
            if seconds > 0:
                self._changed.wait(seconds)

    def shut_down(self) -> None:
        """Publishes a last report; nothing is released, as Pacemaker has not stopped anything."""
        with self._changed:
            report = dataclasses.replace(
                self._draft(self.sight()),
                cause="shutdown",
                next_report_within_ms=int(self._settings.calm_seconds * 1000),
            )
            self._send(report)
        self.publisher.wait_sent(report.seq, 1.0)

    def _emit(self) -> int:
        """Sends a report if it has news or falls due; returns the newest report's `seq`."""
        report = self._draft(self.sight())
        last = self._last
        within = 0.0 if last is None else last.next_report_within_ms / 1000
        if self.publisher.trouble:
            within = min(within, self._settings.alert_seconds)
        due = time.monotonic() >= self._last_at + within
        if last is None or due or views.news(report) != views.news(last):
            self._send(report)
        return self._seq - 1

    def _send(self, report: NodeReport) -> None:
        self._seq += 1
        self._last, self._last_at = report, time.monotonic()
        self.publisher.offer(report)
        self._tell_report(report)

    def _tell_report(self, report: NodeReport) -> None:
        if report.cause != "heartbeat":
            states = ",".join(f"{name}:{e.state}" for name, e in sorted(report.resources.items()))
            self._say(
                "Reporting",
                cause=report.cause,
                seq=report.seq,
                resources=states,
                suspects=",".join(entry.node_name for entry in report.suspects),
                awaiting=",".join(report.awaiting),
            )

    def _draft(self, s: Sight) -> NodeReport:
        states = {name: views.resource_state(s, name) for name in self._settings.resources}
        suspects = views.lost_peers(s)
        for name in [key for key in self._since if key.startswith("peer ")]:
            if name[len("peer ") :] not in suspects:
                del self._since[name]
        pending = views.awaiting(s, states)
        within = views.cadence_seconds(s, self._settings, suspects, pending)
        report = NodeReport(
            cluster_id=self._settings.cluster_id,
            node_name=s.node_name,
            instance_id=s.instance_id,
            availability_zone=self._identity.availability_zone,
            incarnation=self._incarnation,
            seq=self._seq,
            observed_at_ms=int(time.time() * 1000),
            next_report_within_ms=int(within * 1000),
            cause="heartbeat",
            pacemaker=Pacemaker(
                state=s.pacemaker.state,
                dc=s.pacemaker.dc,
                quorate=s.pacemaker.quorate,
                quorum_mode=s.quorum_mode,
                members=s.pacemaker.members[:MAX_NODES],
            ),
            suspects=tuple(
                Suspect(name, self._for_ms(f"peer {name}", "lost", s.now))
                for name in sorted(suspects)[:MAX_NODES]
            ),
            resources={
                name: ResourceState(state, self._for_ms(f"resource {name}", state, s.now))
                for name, state in states.items()
            },
            awaiting=pending,
            failing=s.pacemaker.failing,
            public_ips=s.public_ips,
            order=self._orders.progress,
        )
        return dataclasses.replace(report, cause=views.cause(self._last, report))

    def _for_ms(self, key: str, value: object, now: float) -> int:
        """For how long a value has been what it is now."""
        known = self._since.get(key)
        if known is None or known[0] != value:
            known = self._since[key] = (value, now)
        return max(0, int((now - known[1]) * 1000))

    # -- what is asked over the socket -------------------------------------------------------------

    def handle(self, request: Mapping[str, Any], alive: Alive) -> Mapping[str, Any]:
        """Answers one request of the resource agent, the alert agent or the command line."""
        operation, resource = request.get("op"), request.get("resource")
        if operation == "alert":
            self.observer_wake.set()
            return {"outcome": "ok"}
        if operation == "status":
            return self.describe()
        if operation not in ("start", "stop", "monitor"):
            return {"outcome": "error", "reason": "no such operation"}
        if not isinstance(resource, str) or resource not in self._settings.resources:
            known = ", ".join(self._settings.resources)
            text = f"the agent watches {known}, not {resource!a}: see `resources` in its settings"
            return {"outcome": "error", "reason": text}
        if operation == "start":
            return self._start(resource, request.get("timeout_ms"), alive)
        return self._stop(resource) if operation == "stop" else self._monitor(resource)

    def _start(self, resource: str, timeout_ms: object, alive: Alive) -> Mapping[str, Any]:
        seconds = timeout_ms / 1000 if isinstance(timeout_ms, (int, float)) else 18.0
        with self._changed:
            began = time.monotonic()
            self._remembered.drop_note(resource)
            word = Word("starting", began, claim=(self._incarnation, self._seq))
            self._set_word(resource, word)
            self._emit()
        self.status_wake.set()
        self.observer_wake.set()
        verdict = self._await_grant(resource, word, began + seconds, alive)
        with self._changed:
            if self._sight.words.get(resource) is not word:
                return {"outcome": "refused", "reason": "another operation took this start's place"}
            now = time.monotonic()
            if verdict.outcome == "granted":
                ip = verdict.public_ip
                granted = Word("started", now, term=verdict.term, claim=word.claim, public_ip=ip)
                self._set_word(resource, granted)
                self._clean_up.settled(resource)
            else:
                self._set_word(resource, Word("stopped", now))
                self._clean_up.note(resource, now)
            self._emit()
        granted_here = verdict.outcome == "granted"
        self.metadata_wake.set()
        self._say(
            "The start is granted" if granted_here else "The start is refused",
            resource=resource,
            term=verdict.term,
            reason=verdict.reason,
            after_seconds=f"{now - began:.2f}",
        )
        outcome = "granted" if granted_here else "refused"
        return {
            "outcome": outcome,
            "reason": verdict.reason,
            "term": verdict.term,
            "public_ip": verdict.public_ip,
        }

    def _await_grant(self, resource: str, word: Word, deadline: float, alive: Alive) -> Verdict:
        """Waits for a final verdict; a refusal has to be seen in two looks at Pacemaker."""
        refused_at = NEVER
        while True:
            with self._changed:
                s = self.sight()
                if s.words.get(resource) is not word:
                    return Verdict("refused", "overtaken")
                verdict = start_verdict(s, resource)
                if verdict.outcome == "granted" or s.now >= deadline:
                    return verdict
                if verdict.outcome == "refused":
                    if NEVER < refused_at < s.pacemaker_at:
                        return verdict
                    refused_at = s.pacemaker_at
                else:
                    refused_at = NEVER
                self._changed.wait(min(0.25, deadline - s.now))
            if not alive():
                return Verdict("refused", f"the resource agent went away; {verdict.reason}")

    def _stop(self, resource: str) -> Mapping[str, Any]:
        with self._changed:
            self._remembered.drop_note(resource)
            self._set_word(resource, Word("stopped", time.monotonic()))
            seq = self._emit()
        self.publisher.wait_sent(seq, _RELEASE_SECONDS)
        return {"outcome": "released"}

    def _monitor(self, resource: str) -> Mapping[str, Any]:
        with self._changed:
            word = self._sight.words.get(resource)
            if word is None or word.state == "stopped":
                self._say("The resource agent says that it runs here", resource=resource)
                self._set_word(resource, Word("started", time.monotonic()))
            s = self.sight()
        lag = self._settings.metadata_lag_seconds
        verdict = monitor_verdict(s, resource, int(time.time() * 1000), lag)
        if verdict.outcome == "lost":
            self._say("The address is lost", resource=resource, reason=verdict.reason)
        return {"outcome": verdict.outcome, "reason": verdict.reason, "term": verdict.term}

    def describe(self) -> dict[str, Any]:
        """Everything an operator may want to see, as JSON."""
        s = self.sight()
        addresses = {} if s.status is None else s.status.addresses
        return {
            "outcome": "ok",
            "report": None if self._last is None else self._last.to_detail(),
            "reports_sent": self.publisher.sent_count,
            "publishing": s.publish_trouble or "ok",
            "reading": s.status_trouble or "ok",
            "status_age_seconds": None if s.status_at == NEVER else round(s.now - s.status_at, 1),
            "addresses": {name: dataclasses.asdict(entry) for name, entry in addresses.items()},
            "node_names": {} if s.status is None else dict(s.status.node_names),
            "links": s.links,
            "words": {name: dataclasses.asdict(word) for name, word in s.words.items()},
            "refused_starts": self._clean_up.resources,
        }
