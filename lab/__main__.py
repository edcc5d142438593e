"""`python -m lab demo`: the story on a simulated cluster. `python -m lab real`: on a real one."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

from lab.cluster import enclosure
from lab.real_site import real_site
from lab.scenes import Scenes
from lab.site import Site, simulated_site
from lab.stage import Outcome
from lab.table import render, write_json
from lab.timeline import Timeline

DEMO_OUTAGE_SECONDS = 6.0


def tell(site: Site, *, outage_seconds: float, scenes: list[str], quiet: bool) -> list[Outcome]:
    """Runs scenes by name, one after the other, on a site that is up."""
    timeline = Timeline(site.aws, site.world, quiet=quiet)
    stage = Scenes(site, timeline, outage_seconds=outage_seconds)
    ended = threading.Event()
    client = threading.Thread(target=timeline.watch_page, args=(site.who_answers, ended))
    client.start()
    try:
        return [getattr(stage, scene)() for scene in scenes]
    finally:
        ended.set()
        client.join()


def demo(arguments: argparse.Namespace) -> int:
    """The main job on this machine, without root."""
    began = time.monotonic()
    print("EIP Arbiter demo: real template, functions, agent and resource agent;")
    print("the AWS is embedded in this process, and Pacemaker is SIMULATED (make lab: a real one).")
    with tempfile.TemporaryDirectory(prefix="eip-arbiter-demo-") as folder:
        with simulated_site(Path(folder)) as site:
            print(f"deployed the template in {site.aws.deploy_seconds:.1f} s, two nodes are up")
            outcomes = tell(
                site,
                outage_seconds=DEMO_OUTAGE_SECONDS,
                scenes=[
                    "planned_stop",
                    "calm",
                    "power_loss",
                    "split_brain",
                    "aws_outage",
                    "forced_failover",
                ],
                quiet=arguments.quiet,
            )
        print(f"\n{render(outcomes, 'SIMULATED')}")
        seconds = time.monotonic() - began
        print(f"\n{seconds:.0f} s in all")
        if arguments.json:
            write_json(arguments.json, outcomes, "simulated", {"seconds": round(seconds, 1)})
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def real(arguments: argparse.Namespace) -> int:
    """The same on a real Pacemaker cluster, in an enclosure that leaves nothing behind."""
    missing = enclosure.requirements_missing()
    if missing:
        print(*(f"missing: {what}" for what in missing), sep="\n", file=sys.stderr)
        return 2
    enclosure.ensure_inside()
    began = time.monotonic()
    with real_site(token_ms=arguments.token) as site:
        outcomes = tell(
            site,
            outage_seconds=60.0,
            scenes=arguments.scenes.split(",") if arguments.scenes else ["planned_stop"],
            quiet=arguments.quiet,
        )
    print(f"\n{render(outcomes, 'real')}")
    print(f"\n{time.monotonic() - began:.0f} s in all")
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("demo", help="the story on a simulated cluster, without root")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there")
    command.add_argument("--quiet", action="store_true", help="no timeline, only the table")
    command.set_defaults(run=demo)
    command = commands.add_parser("real", help="the story on a real cluster (root)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there")
    command.add_argument("--quiet", action="store_true", help="no timeline, only the table")
    command.add_argument("--token", type=int, default=1000, help="Corosync's token, milliseconds")
    command.add_argument("--scenes", help="only these scenes, comma-separated")
    command.set_defaults(run=real)
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
