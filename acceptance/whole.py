"""A whole run: makes the stacks, measures, and takes everything away again, whatever happens."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from botocore.exceptions import BotoCoreError, ClientError

from acceptance import order, report
from acceptance.clean_up import CleanUp
from acceptance.measures.notices import queue_url
from acceptance.on_node import commands
from acceptance.packaging import ROOT, Packer, classic_parameters, make_bucket, template_of
from acceptance.run import Account, Run
from acceptance.waiting import AcceptanceError, Pace

CLASSIC = ROOT / "examples/classic/template.yaml"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(BaseException):
    """A signal asked the run to end; it is no error that a measurement may swallow."""


@contextlib.contextmanager
def stoppable(say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Signals raise `StoppedError`, once: what it yields has them only be told about from then on.

    A second Ctrl-C would end the clean-up half way, and leave what costs money.
    """
    at_end = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal at_end
        if at_end:
            say("still cleaning up: wait, or kill -9 and run again with --clean-up")
            return
        at_end = True
        raise StoppedError(signal.Signals(number).name)

    def end() -> None:
        nonlocal at_end
        at_end = True

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield end
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def carry_out(
    account: Account,
    packer: Packer,
    folder: Path,
    *,
    pace: Pace | None = None,
    say: Callable[[str], None],
    keep: bool = False,
    steps: tuple[order.Step, ...] = order.STEPS,
) -> int:
    """One run, from the first stack to the report.

    Args:
        account: Where.
        packer: How the stacks' contents are made.
        folder: Where the report goes.
        pace: How long things may take; None for AWS's.
        say: Tells the person.
        keep: Leave everything there, for a look at the dashboard.
        steps: What to measure.

    Returns:
        The exit status: 0 where all is as expected, 1 where a row is not, 3 where something is
        left in the account.
    """
    pace = pace or Pace()
    cleaning = CleanUp(account, pace, say)
    if there := cleaning.find():
        for left in there:
            say(f"there already: {left.what}")
        raise AcceptanceError("an earlier run is still here, or still runs: see --clean-up, --name")
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    run, left_over = Run(account, pace, say), list[str]()
    with stoppable(say) as no_more_signals:
        try:
            with tempfile.TemporaryDirectory() as work:
                make(run, packer, Path(work))
            order.measure(run, steps)
        except StoppedError as stopped:
            say(f"stopped by {stopped}")
        except (AcceptanceError, BotoCoreError, ClientError) as error:
            say(f"the run ends: {error}")
        finally:
            with contextlib.suppress(StoppedError):  # one that came in this very moment
                no_more_signals()
            if keep:
                say("--keep: everything stays, and costs money until --clean-up")
            else:
                say("cleaning up")
                left_over = cleaning.remove()
            for row in order.not_reached(run) if steps is order.STEPS else ():
                run.rows[row.id] = row
            for path in report.write(folder, account.names, began, run.rows, left_over):
                say(f"written: {path}")
    for problem in left_over:
        say(f"LEFT IN THE ACCOUNT: {problem}")
    if left_over:
        return 3
    verdicts = {row.verdict for row in run.rows.values()}
    return 0 if verdicts <= {"as expected", "not seen here"} else 1


def make(run: Run, packer: Packer, work: Path) -> None:
    """Makes both stacks and waits until a failover would work.

    Raises:
        AcceptanceError: It did not come so far; the message says why.
    """
    s3, names = run.account.client("s3"), run.names
    run.say("packing the product and the agent")
    make_bucket(s3, names)
    template = packer.control(names.bucket, work)
    run.stacks.make(names.control, template_of(s3, names.bucket, template), {})
    parameters = classic_parameters(s3, names, packer.agent(work))
    run.stacks.make(names.classic, template_of(s3, names.bucket, CLASSIC), parameters)
    queue_url(run)  # before anything is announced
    instances = list(run.instances().values())
    run.nodes.await_online(instances, run.say)
    run.say("waiting until the cluster runs and the product is well")
    try:
        run.await_well()
    except AcceptanceError as error:
        run.say(f"the first node's boot ended with:\n{_end_of_boot(run, instances[0])}")
        raise AcceptanceError(f"the nodes did not get ready: {error}") from error


def _end_of_boot(run: Run, instance: str) -> str:
    try:
        return run.nodes.run(instance, commands.END_OF_BOOT, seconds=60)
    except AcceptanceError as error:
        return str(error)
