"""The command line: `run` is the service, `status` asks a running one, `doctor` checks all.

Signals and systemd's notifications live here.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from eip_agent import __version__
from eip_agent.agent import Agent
from eip_agent.answer.client import NoAnswerError, ask_status
from eip_agent.calls.aws import Credentials
from eip_agent.calls.channel import ExchangeError
from eip_agent.observe.metadata import Identity, MetadataService
from eip_agent.remember.board import Outcome
from eip_agent.settings import DEFAULT_PATH, Settings, SettingsError, load_settings

EX_CONFIG, EX_UNAVAILABLE, EX_SOFTWARE = 78, 69, 70
_STACK_BYTES = 512 * 1024
_PAT_SECONDS = 1.0


def main() -> int:
    """Runs the command line and returns its exit status."""
    parser = argparse.ArgumentParser(prog="eip-agent", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["run", "status", "doctor"])
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--config", default=DEFAULT_PATH, help=f"default: {DEFAULT_PATH}")
    parser.add_argument("--json", action="store_true", help="status, doctor: as JSON")
    arguments = parser.parse_args()
    if arguments.command == "doctor":
        from eip_agent.doctor.command import doctor  # noqa: PLC0415 - the service needs none of it

        return doctor(arguments.config, _environment_credentials(), as_json=arguments.json)
    try:
        settings = load_settings(arguments.config, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"eip-agent: {error}\n")
        return EX_CONFIG
    return run(settings) if arguments.command == "run" else status(settings, arguments.json)


def say(sentence: str, **fields: object) -> None:
    """Writes one line for the journal: a sentence, then `key=value` for whatever has a value."""
    words = [sentence]
    for key, value in fields.items():
        if value not in ("", None):
            text = str(value)
            words.append(f"{key}={json.dumps(text) if ' ' in text else text}")
    sys.stdout.write("  ".join(words) + "\n")
    sys.stdout.flush()


def run(settings: Settings) -> int:
    """The service, until SIGTERM or SIGINT."""
    # A resolver that hangs must not hold a report back: glibc reads this at the first look-up.
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")
    threading.stack_size(_STACK_BYTES)
    threading.excepthook = _die
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    # The unit is ordered before Corosync and Pacemaker: they must not wait for anything but this.
    notify("READY=1\nSTATUS=asking the metadata service who this instance is")
    watchdog = _Watchdog()
    metadata = MetadataService(settings.metadata_endpoint)
    identity = _identity(metadata, stopping, watchdog)
    if identity is None:
        notify("STOPPING=1")
        return 0
    agent = Agent(settings, identity, metadata, _environment_credentials(), say)
    watchdog.pat()
    agent.start(watchdog.pat)
    say(
        "The agent is ready",
        node=settings.node_name,
        instance=identity.instance_id,
        cluster=settings.cluster_id,
        resources=",".join(settings.resources),
    )
    notify(f"STATUS=reporting as {settings.node_name} of {settings.cluster_id}")
    while not stopping.is_set():
        agent.beat()
        watchdog.pat()
    notify("STOPPING=1")
    agent.shut_down()
    say("The agent stops; the resources stay as they are")
    return 0


class _Watchdog:
    """Shows systemd that the main thread goes on, each time it has got somewhere."""

    def __init__(self) -> None:
        self._is_asked_for = "WATCHDOG_USEC" in os.environ
        self._patted = time.monotonic()

    def pat(self) -> None:
        """To be called after each step that is bounded in time; tells systemd once a second."""
        if self._is_asked_for and time.monotonic() - self._patted >= _PAT_SECONDS:
            notify("WATCHDOG=1")
            self._patted = time.monotonic()


def _identity(
    metadata: MetadataService, stopping: threading.Event, watchdog: _Watchdog
) -> Identity | None:
    """Who this instance is, asked until it is answered; None when the agent is to end before."""
    asking = Outcome("Asking the metadata service who this instance is", say)
    while not stopping.is_set():
        try:
            return metadata.identity()
        except ExchangeError as error:
            asking.failed(error.kind, str(error))
            stopping.wait(1.0)
        watchdog.pat()
    return None


def _environment_credentials() -> Credentials | None:
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    return Credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN"))


def _die(arguments: Any) -> None:
    """Ends the whole process when one thread fails, so that systemd starts it anew."""
    threading.__excepthook__(arguments)
    sys.stderr.flush()
    os._exit(EX_SOFTWARE)


def notify(state: str) -> None:
    """Tells systemd, if it started us."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + path[1:] if path.startswith("@") else path)
        channel.sendall(state.encode())


def status(settings: Settings, as_json: bool) -> int:
    """Asks the running agent and prints what it says."""
    try:
        answer = ask_status(settings.socket)
    except NoAnswerError as error:
        sys.stderr.write(f"eip-agent: {error}\n")
        return EX_UNAVAILABLE
    from eip_agent.answer.shown import status_page  # noqa: PLC0415 - the service needs none of it

    now_epoch_ms = int(time.time() * 1000)
    print(json.dumps(answer, indent=2) if as_json else status_page(answer, now_epoch_ms))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
