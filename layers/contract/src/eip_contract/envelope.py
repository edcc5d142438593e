"""The EventBridge envelope of a node report: who sent it, as IAM lets it be said.

The node policy allows PutEvents only with `source` = `eip-arbiter.node/<its own instance ARN>`, so
the source is the proof of identity and the body must agree with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eip_contract.fields import INSTANCE_ID, TEXT
from eip_contract.report import DETAIL_TYPE, NodeReport, ReportRejected, parse_report

_LAST_MS_OF_A_SECOND = 999
SOURCE_PREFIX = "eip-arbiter.node/"
_SOURCE = re.compile(
    re.escape(SOURCE_PREFIX)
    + r"arn:(?P<partition>aws[a-z-]*):ec2:(?P<region>[a-z0-9-]{1,32}):(?P<account>[0-9]{12})"
    r":instance/(?P<instance>i-(?:[0-9a-f]{8}|[0-9a-f]{17}))\Z",
    re.ASCII,
)


@dataclass(frozen=True)
class Envelope:
    """A report together with the identity that IAM vouched for.

    `said_at_ms`: the end of the second in which EventBridge took it, since the epoch. It is
    EventBridge's own time, unless the sender set another: that makes only its own word look older.
    """

    said_at_ms: int
    report: NodeReport


def source_for(partition: str, region: str, account: str, instance_id: str) -> str:
    """The only `source` with which this instance's role may publish."""
    return f"{SOURCE_PREFIX}arn:{partition}:ec2:{region}:{account}:instance/{instance_id}"


def parse_envelope(event: Any) -> Envelope:
    """Reads an EventBridge event that carries a node report.

    Raises:
        ReportRejected: reason `identity` when the source is not an instance's or the body disagrees
            with it, `malformed` or `schema_version` as `parse_report` says.
    """
    if not isinstance(event, dict):
        raise ReportRejected("malformed", "the event is not a JSON object")
    if event.get("detail-type") != DETAIL_TYPE:
        raise ReportRejected("malformed", f"the event's detail-type is not {DETAIL_TYPE!r}")
    source = event.get("source")
    match = _SOURCE.match(source) if isinstance(source, str) else None
    if match is None:
        raise ReportRejected("identity", "the event's source does not name an EC2 instance")
    if event.get("account") != match["account"]:
        raise ReportRejected("identity", "the event's source names an instance of another account")
    report = parse_report(event.get("detail"))
    if report.instance_id != match["instance"]:
        raise ReportRejected(
            "identity", f"{match['instance']} speaks for {report.instance_id}, not for itself"
        )
    return Envelope(said_at_ms=_time_ms(event) + _LAST_MS_OF_A_SECOND, report=report)


def parse_instance_state(event: Any) -> tuple[str, str, int]:
    """Reads EC2's own "EC2 Instance State-change Notification".

    Returns:
        The instance id, its state, and when EC2 said so, in milliseconds since the epoch.

    Raises:
        ReportRejected: reason `malformed`.
    """
    detail = event.get("detail")
    instance_id = detail.get("instance-id") if isinstance(detail, dict) else None
    state = detail.get("state") if isinstance(detail, dict) else None
    if not isinstance(instance_id, str) or not INSTANCE_ID.match(instance_id):
        raise ReportRejected("malformed", "the EC2 event names no instance")
    if not isinstance(state, str) or not TEXT.match(state):
        raise ReportRejected("malformed", "the EC2 event names no state")
    return instance_id, state, _time_ms(event)


def _time_ms(event: Mapping[str, Any]) -> int:
    """The event's time, of whole seconds, as milliseconds since the epoch."""
    try:
        at = datetime.strptime(str(event.get("time")), "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise ReportRejected("malformed", "the event tells no time") from None
    return int(at.timestamp() * 1000)
