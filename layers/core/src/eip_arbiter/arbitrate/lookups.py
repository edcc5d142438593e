"""How often EC2 is asked about one instance, whatever that instance says in its reports.

A node chooses its cluster id, its name and its incarnation, but not its instance id, so the limit
goes by the instance. The memory is one environment's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from eip_contract.report import NodeReport, ReportRejected

FIRST_PAUSE_MS, REFUSED_MS, LONGEST_PAUSE_MS = 5_000, 60_000, 300_000
"""`REFUSED_MS` is the longest pause for a node that is not registered: a tag may come late."""
QUIET_MS = 2 * LONGEST_PAUSE_MS
"""After so long without a lookup the pause begins at its shortest again."""
MOST_INSTANCES = 1_000


class NotTaggedError(ReportRejected):
    """The instance does not belong to the cluster that its report names.

    `tagged_for`: the cluster that EC2 says it belongs to, "" without a tag, None where EC2 does not
    know the instance, or no interface of it.
    """

    def __init__(self, message: str, tagged_for: str | None) -> None:
        super().__init__("not_tagged", message)
        self.tagged_for = tagged_for


@dataclass(frozen=True, slots=True)
class _Lookup:
    """The last lookup of an instance, the pause after it, and what came of it.

    `answered`: whether EC2 answered; `tagged_for`: the cluster that it named then, if any.
    """

    at_ms: int
    pause_ms: int
    answered: bool = False
    tagged_for: str | None = None
    refusal: ReportRejected | None = None


@dataclass
class Lookups:
    """The last lookup of each instance, the newest last. Times are the arbiter's, in ms."""

    _last: dict[str, _Lookup] = field(default_factory=dict)

    def may_refresh(self, report: NodeReport, now_ms: int) -> bool:
        """Whether a registered node may be looked up again, since its agent started anew.

        The pause doubles with each lookup, whatever came of it, so that a change of incarnation is
        no way around it. Nothing waits for it: the watch compares each node every minute.
        """
        last = self._last.get(report.instance_id)
        return last is None or not 0 <= now_ms - last.at_ms < last.pause_ms

    def begin(self, report: NodeReport, now_ms: int) -> None:
        """Notes that EC2 is asked now.

        A node that is not registered where EC2 says that it belongs, or of which EC2 could not
        tell, is asked about again after the shortest pause: its claims wait for that.

        Raises:
            ReportRejected: during the pause, with the reason of the last refusal, or with
                `looked_up_lately` where there was none.
        """
        instance_id = report.instance_id
        last = self._last.get(instance_id)
        if last is not None:
            pause_ms = min(last.pause_ms, REFUSED_MS)
            if not last.answered or last.tagged_for == report.cluster_id:
                pause_ms = FIRST_PAUSE_MS
            if 0 <= now_ms - last.at_ms < pause_ms:
                raise last.refusal or ReportRejected(
                    "looked_up_lately",
                    f"EC2 was asked about {instance_id} a moment ago; it is asked again within "
                    f"{pause_ms // 1000} s",
                )
        self._note(report, now_ms, last)

    def refresh(self, report: NodeReport, now_ms: int) -> None:
        """Notes that EC2 is asked now about a registered node; see `may_refresh`."""
        self._note(report, now_ms, self._last.get(report.instance_id))

    def _note(self, report: NodeReport, now_ms: int, last: _Lookup | None) -> None:
        pause_ms = FIRST_PAUSE_MS
        if last and last.answered and 0 <= now_ms - last.at_ms < QUIET_MS:
            pause_ms = min(2 * last.pause_ms, LONGEST_PAUSE_MS)
        self._last.pop(report.instance_id, None)
        if len(self._last) >= MOST_INSTANCES:
            del self._last[next(iter(self._last))]
        self._last[report.instance_id] = _Lookup(now_ms, pause_ms)

    def taken_in(self, report: NodeReport) -> None:
        """EC2 says that the instance belongs where its report says."""
        self._answered(report, tagged_for=report.cluster_id)

    def refused(self, report: NodeReport, refusal: ReportRejected) -> None:
        """Keeps why the report was refused, for those that come during the pause."""
        named = refusal.tagged_for if isinstance(refusal, NotTaggedError) else None
        self._answered(report, tagged_for=named, refusal=refusal)

    def _answered(self, report: NodeReport, **what: Any) -> None:
        last = self._last[report.instance_id]
        self._last[report.instance_id] = replace(last, answered=True, **what)
