"""`python -m lab demo`: the story on a simulated cluster. `python -m lab real`: on a real one."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import resource
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from lab import peers
from lab.cluster import enclosure
from lab.embedded.server import PortError
from lab.embedded.ways import LAYOUTS, Layout
from lab.real_site import real_site
from lab.scenes import Scenes
from lab.serve import WidgetServer
from lab.site import Site, simulated_site
from lab.stage import Outcome
from lab.table import render, write_json
from lab.timeline import Timeline

DEMO_OUTAGE_SECONDS = 6.0
DEMO_SCENES = (
    "planned_stop",
    "calm",
    "power_loss",
    "split_brain",
    "aws_outage",
    "forced_failover",
)
REAL_OUTAGE_SECONDS = 60.0
REAL_SCENES = (
    *DEMO_SCENES,
    "heal_during_start",
    "corosync_killed",
    "holder_without_aws",
)


def tell(
    site: Site, scenes: list[str], *, outage_seconds: float, quiet: bool = False
) -> list[Outcome]:
    """Runs scenes by name, one after the other, while a client calls the Elastic IP."""
    timeline = Timeline(site.aws, site.world, quiet=quiet)
    stage = Scenes(site, timeline, outage_seconds=outage_seconds)
    ended = threading.Event()
    # A signal may end the story at any line, between these two as well: a thread that only watches
    # must not keep the process.
    client = threading.Thread(
        target=timeline.watch_client, args=(site.who_answers, ended), daemon=True
    )
    try:
        client.start()
        return [getattr(stage, scene)() for scene in scenes]
    finally:
        ended.set()
        if client.is_alive():
            client.join()
        timeline.finish()


def demo(arguments: argparse.Namespace) -> int:
    """The main job on this machine, without root."""
    began = time.monotonic()
    print("EIP Arbiter demo: real template, functions, agent and resource agent;")
    print("the AWS is embedded in this process, and Pacemaker is SIMULATED (make lab: a real one).")
    with (
        tempfile.TemporaryDirectory(prefix="eip-arbiter-demo-") as folder,
        simulated_site(
            Path(folder), aws_port=arguments.aws_port, layout=_layout(arguments)
        ) as site,
    ):
        print(f"the template is deployed ({site.aws.deploy_seconds:.1f} s), two nodes are up")
        if arguments.serve:
            return _serve(site, arguments.port)
        outcomes = tell(
            site,
            arguments.scenes or list(DEMO_SCENES),
            outage_seconds=DEMO_OUTAGE_SECONDS,
            quiet=arguments.quiet,
        )
    print(f"\n{render(outcomes, 'SIMULATED')}")
    return _finish(arguments, outcomes, "simulated", began, {})


def _serve(site: Site, port: int) -> int:
    """The dashboard's widget in a browser, and the AWS API for the AWS CLI, until Ctrl-C."""
    site.cluster.wait_until(
        lambda: site.world.holder() in site.running_on(),
        "one node runs the resource and holds its address",
    )
    with WidgetServer(site.aws, port) as server, contextlib.suppress(KeyboardInterrupt):
        key, secret = site.aws.credentials("operator")
        print(f"the AWS API, for AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret}:")
        print(f"  {site.aws.endpoint_url} in {site.aws.region}")
        print(f"the dashboard's widget: {server.url} (Ctrl-C ends it)", flush=True)
        threading.Event().wait()
    return 0


def real(arguments: argparse.Namespace) -> int:
    """The same on a real Pacemaker cluster, in an enclosure that leaves nothing behind."""
    missing = enclosure.requirements_missing()
    if missing:
        print(*(f"missing: {what}" for what in missing), sep="\n", file=sys.stderr)
        return 2
    enclosure.ensure_inside()
    began = time.monotonic()
    print(f"EIP Arbiter lab: real Pacemaker and Corosync, token {arguments.token} ms,")
    print("the classic set-up; the AWS is embedded in this process.")
    with real_site(token_ms=arguments.token, layout=_layout(arguments)) as site:
        outcomes = tell(
            site,
            arguments.scenes or list(REAL_SCENES),
            outage_seconds=REAL_OUTAGE_SECONDS,
            quiet=arguments.quiet,
        )
        monitor_cpu_seconds = _monitor_cpu(site)
    print(f"\n{render(outcomes, 'real')}", flush=True)
    extra: dict[str, object] = {"token_ms": arguments.token}
    if not arguments.no_peers:
        print("\nmeasuring ocf:heartbeat:Dummy and ocf:heartbeat:awseip (4 minutes)", flush=True)
        measured = peers.measure(arguments.token)
        print(f"\n{peers.render(measured, outcomes, monitor_cpu_seconds)}")
        extra |= {"peers": measured.to_json(), "monitor_cpu_seconds": monitor_cpu_seconds}
    return _finish(arguments, outcomes, "real", began, extra)


def _layout(arguments: argparse.Namespace) -> Layout:
    return dataclasses.replace(
        LAYOUTS[arguments.layout], new_address_seconds=arguments.new_address_seconds
    )


def _monitor_cpu(site: Site) -> float:
    """Median CPU seconds of one monitor of the resource agent where the resource runs."""
    (node,) = site.running_on()

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        site.monitor(node)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    return round(statistics.median(once() for _ in range(5)), 4)


def _finish(
    arguments: argparse.Namespace,
    outcomes: list[Outcome],
    kind: str,
    began: float,
    extra: dict[str, object],
) -> int:
    seconds = round(time.monotonic() - began, 1)
    wrong = [outcome.scene for outcome in outcomes if not outcome.ok]
    print(f"\n{seconds:.0f} s in all; {'WRONG: ' + ', '.join(wrong) if wrong else 'all is well'}")
    if arguments.json:
        write_json(arguments.json, outcomes, kind, {"seconds": seconds, **extra})
    return 1 if wrong else 0


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return number


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for run, scenes in ((demo, DEMO_SCENES), (real, REAL_SCENES)):
        command = commands.add_parser(run.__name__, help=run.__doc__)
        command.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there")
        command.add_argument("--quiet", action="store_true", help="no timeline, only the table")
        command.add_argument("--scenes", nargs="+", choices=scenes, help="only these scenes")
        ways = "how the nodes reach AWS; `classic` has IPv6 beside its public addresses"
        command.add_argument("--layout", choices=LAYOUTS, default="classic", help=ways)
        again = "after so long EC2 gives a node that lost the address another public one"
        command.add_argument("--new-address-seconds", type=float, default=180.0, help=again)
        command.set_defaults(run=run)
        if run is demo:
            serve = "no story: the dashboard's widget, for a browser on this machine"
            command.add_argument("--serve", action="store_true", help=serve)
            any_port = "a free one by default"
            command.add_argument("--port", type=_port, default=0, help=f"its port, {any_port}")
            aws_port = f"the port of the embedded AWS, {any_port}"
            command.add_argument("--aws-port", type=_port, default=0, help=aws_port)
    command.add_argument("--token", type=int, default=1000, help="Corosync's token, milliseconds")
    command.add_argument("--no-peers", action="store_true", help="do not measure the peers")
    arguments = parser.parse_args()
    # So that a polite end cleans up like Ctrl-C does, and Ctrl-C works in a background job too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return int(arguments.run(arguments))
    except PortError as error:
        print(f"{parser.prog} {arguments.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
