"""How often EC2 is asked about one instance, whatever that instance says in its reports.

A node chooses its cluster id, its name and its incarnation, but not its instance id, so the limit
goes by the instance. The memory is one environment's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from eip_contract.report import NodeReport, ReportRejected

FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 5_000, 300_000
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
    """The last lookup of an instance, the pause after it, and why its report was refused."""

    at_ms: int
    pause_ms: int
    refusal: ReportRejected | None = None


@dataclass
class Lookups:
    """The last lookup of each instance, the newest last. Times are the arbiter's, in ms."""

    _last: dict[str, _Lookup] = field(default_factory=dict)

    def may_ask(self, report: NodeReport, now_ms: int) -> bool:
        """Whether the pause after the last lookup is over.

        The pause doubles with each lookup, whatever came of it, so that a change of incarnation is
        no way around it. It stays short for a report that now names the cluster of EC2's answer.
        """
        last = self._last.get(report.instance_id)
        if last is None:
            return True
        mended = (
            isinstance(last.refusal, NotTaggedError)
            and last.refusal.tagged_for == report.cluster_id
        )
        pause_ms = FIRST_PAUSE_MS if mended else last.pause_ms
        return not 0 <= now_ms - last.at_ms < pause_ms

    def begin(self, report: NodeReport, now_ms: int) -> None:
        """Notes that EC2 is asked now.

        Raises:
            ReportRejected: during the pause, with the reason of the last refusal, or with
                `looked_up_lately` where there was none.
        """
        instance_id = report.instance_id
        last = self._last.get(instance_id)
        if last and not self.may_ask(report, now_ms):
            raise last.refusal or ReportRejected(
                "looked_up_lately",
                f"EC2 was asked about {instance_id} a moment ago; it is asked again within "
                f"{last.pause_ms // 1000} s",
            )
        pause_ms = FIRST_PAUSE_MS
        if last and 0 <= now_ms - last.at_ms < QUIET_MS:
            pause_ms = min(2 * last.pause_ms, LONGEST_PAUSE_MS)
        self._last.pop(instance_id, None)
        if len(self._last) >= MOST_INSTANCES:
            del self._last[next(iter(self._last))]
        self._last[instance_id] = _Lookup(now_ms, pause_ms)

    def refused(self, report: NodeReport, refusal: ReportRejected) -> None:
        """Keeps why the report was refused, for those that come during the pause."""
        last = self._last[report.instance_id]
        self._last[report.instance_id] = replace(last, refusal=refusal)
