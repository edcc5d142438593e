"""The steps of a run, in their order; each one answers the rows that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from acceptance.measures import addresses, failovers, notices, rights, watching, ways
from acceptance.rows import QUESTIONS, Row, failed, not_seen
from acceptance.run import Run
from acceptance.waiting import AcceptanceError


@dataclass(frozen=True, slots=True)
class Step:
    """A measurement: the rows it answers, how many minutes it may take, what it does."""

    rows: tuple[str, ...]
    measure: Callable[[Run], list[Row]]
    minutes: float
    does: str


STEPS = (
    Step(("doctor",), watching.doctor, 0.1, "asks the product's own doctor"),
    Step(
        ("dry_run",), addresses.dry_run, 0.2, "makes and deletes an interface, dry-runs towards it"
    ),
    Step(("unknown_instance",), addresses.unknown_instance, 0.1, "asks for an instance"),
    Step(
        ("associate", "describe"),
        addresses.moves,
        1,
        "moves an Elastic IP of its own between two interfaces, 20 times",
    ),
    Step(("identity",), rights.identity, 0.2, "has a node put an event in the other one's name"),
    Step(("untagged",), rights.untagged, 0.2, "takes the tag off an interface and gives it back"),
    Step(("notice",), notices.notice, 0.2, "puts an event on the bus"),
    Step(("raw_quote",), notices.raw_quote, 1, "puts an event with a quote on the bus"),
    Step(("widget",), watching.widget, 0.1, "invokes the widget's function"),
    Step(("alarm",), notices.alarm, 0.2, "sets an alarm of the stack off"),
    Step(("order",), failovers.order, 2, "failover to the standby by the operator's verb"),
    Step(("switchover",), failovers.switchover, 2, "has Pacemaker move the resource back"),
    Step(("power_loss",), failovers.power_loss, 4, "restarts the active node's kernel at once"),
    Step(
        ("way_ipv4", "way_ipv6", "metadata_lag", "metadata_alone"),
        ways.without_endpoints,
        5,
        "puts an Elastic IP of its own on the standby and takes it away",
    ),
    Step(
        ("way_endpoint",),
        ways.with_endpoints,
        5.5,
        "the same again, once the stack has been given VPC endpoints",
    ),
    Step(("search",), watching.search, 1, "reads the metrics as the dashboard does"),
    Step(("logs",), watching.logs, 0.2, "looks for a decision in the log"),
    Step(("terminated",), addresses.terminated, 2, "terminates the standby"),
)


def measure(run: Run, steps: tuple[Step, ...] = STEPS) -> None:
    """Carries the steps out; one that fails is told, and the next ones are tried."""
    for step in steps:
        blind: Mapping[str, str] = run.account.blind
        hidden = [row for row in step.rows if row in blind]
        for row_id in hidden:
            _take(run, not_seen(row_id, blind[row_id]))
        if len(hidden) == len(step.rows):
            continue
        run.say(f"measuring {', '.join(row for row in step.rows if row not in hidden)}")
        try:
            answered = step.measure(run)
        except (AcceptanceError, BotoCoreError, ClientError) as error:
            missing = [row for row in step.rows if row not in hidden]
            answered = [failed(row, str(error)) for row in missing]
        for row in answered:
            _take(run, row)


def _take(run: Run, row: Row) -> None:
    run.rows[row.id] = row
    run.say(f"  {row.id}: {row.verdict}: {row.measured}")


def not_reached(run: Run) -> list[Row]:
    """The rows that the run did not come to."""
    return [failed(row, "the run did not come to it") for row in QUESTIONS if row not in run.rows]
