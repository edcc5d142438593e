"""Carried out on a node, as a file of its own: what the node itself sees of AWS.

    probe.py way NAME ipv4|ipv6 SECONDS     asks EventBridge over a new connection, again and again
    probe.py metadata NAME SECONDS          asks the metadata service for the public addresses
    probe.py show NAME                      what one of these has seen so far, as JSON
    probe.py speak SOURCE                   puts an event with that source, says what AWS answered

It calls by the agent's own signer and with the agent's settings, so that a way is one that the
agent could take. What it sees is on the disk of the node until somebody asks.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = os.environ.get("EIP_AGENT_LIBRARY", "/usr/lib/eip-agent").split(os.pathsep)

EVERY_SECONDS, METADATA_EVERY_SECONDS = 0.5, 0.25
FOLDER = Path(os.environ.get("EIP_ACCEPTANCE_DIR", "/var/tmp"))  # noqa: S108 - root's own file
SETTINGS = os.environ.get("EIP_AGENT_CONF", "/etc/eip-agent/eip-agent.conf")


def prepared() -> tuple[Any, Any, Any]:
    """The agent's settings, its metadata service, and keys that have been read."""
    from eip_agent.observe.metadata import Keyring, MetadataService  # noqa: PLC0415 - path is first
    from eip_agent.settings import load_settings  # noqa: PLC0415

    settings = load_settings(SETTINGS, {})
    service = MetadataService(settings.metadata_endpoint)
    keyring = Keyring(service, None)
    keyring.refresh()
    here = service.identity()
    region, domain = settings.region or here.region, settings.domain or here.domain
    return dataclasses.replace(settings, region=region, domain=domain), service, keyring


def main(arguments: list[str]) -> None:
    """Carries one command out."""
    match arguments:
        case ["way", name, family, seconds]:
            watch_way(name, family, float(seconds))
        case ["metadata", name, seconds]:
            watch_metadata(name, float(seconds))
        case ["show", name]:
            sys.stdout.write((FOLDER / f"eip-acceptance-{name}.json").read_text())
        case ["speak", source]:
            sys.stdout.write(json.dumps({"answer": speak(source)}))
        case _:
            sys.exit(__doc__)


def watch_way(name: str, family: str, seconds: float) -> None:
    """Notes each change of whether EventBridge answers; any answer of AWS is one."""
    from eip_agent.calls import ways  # noqa: PLC0415
    from eip_agent.calls.aws import Endpoint  # noqa: PLC0415
    from eip_agent.calls.channel import ExchangeError  # noqa: PLC0415

    settings, _, keyring = prepared()
    named = ways.classic_url if family == "ipv4" else ways.dualstack_url
    url = named("events", settings)
    only(socket.AF_INET if family == "ipv4" else socket.AF_INET6)
    private = family == "ipv4" and not settings.endpoint_url and ways.is_private(url)
    settings = dataclasses.replace(settings, endpoint_url=url)

    def ask() -> bool:
        try:
            # EventBridge refuses an empty list, which changes nothing.
            Endpoint("events", "1.1", settings, keyring).call(
                "AWSEvents.PutEvents", {"Entries": []}
            )
        except ExchangeError as error:
            return error.kind in {"http", "refused", "throttled", "credentials"}
        return True

    seen: dict[str, Any] = {"url": url, "private": private, "key": "ok"}
    watch(name, seconds, EVERY_SECONDS, ask, seen)


def watch_metadata(name: str, seconds: float) -> None:
    """Notes each change of the public addresses; None for no answer."""
    from eip_agent.calls.channel import ExchangeError  # noqa: PLC0415

    _, service, _ = prepared()

    def ask() -> list[str] | None:
        try:
            return sorted(service.public_ips())
        except ExchangeError:
            return None

    watch(name, seconds, METADATA_EVERY_SECONDS, ask, {"key": "addresses"})


def watch(
    name: str, seconds: float, every: float, ask: Callable[[], Any], seen: dict[str, Any]
) -> None:
    """Asks until the time is over, and keeps what changed in the probe's file."""
    deadline = time.monotonic() + seconds
    seen.update(changes=[], asked=0, silent=0)
    last: Any = seen
    while time.monotonic() < deadline:
        at, began = time.time(), time.monotonic()
        answer = ask()
        seen["asked"] += 1
        seen["silent"] += not answer and not isinstance(answer, list)
        if answer != last:
            # A failure counts from when it was asked, a success from when it was answered.
            seen["changes"].append({"at": time.time() if answer else at, seen["key"]: answer})
            last = answer
        seen["until"] = time.time()
        keep(name, seen)
        time.sleep(max(0.0, every - (time.monotonic() - began)))


def keep(name: str, seen: dict[str, Any]) -> None:
    """Replaces the probe's file as a whole."""
    file = FOLDER / f"eip-acceptance-{name}.json"
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(seen))
    draft.replace(file)


def only(family: int) -> None:
    """From now on names resolve to addresses of one family."""
    library: Any = socket
    resolve: Callable[..., Any] = library.getaddrinfo

    def of_one_family(host: Any, port: Any, _family: int = 0, *more: Any, **named: Any) -> Any:
        named.pop("family", None)
        return resolve(host, port, family, *more, **named)

    library.getaddrinfo = of_one_family


def speak(source: str) -> str:
    """Puts an event with this source on the bus, as a report of nobody."""
    from eip_agent.calls.aws import Endpoint  # noqa: PLC0415
    from eip_agent.calls.channel import ExchangeError  # noqa: PLC0415

    settings, _, keyring = prepared()
    entry = {
        "EventBusName": settings.bus,
        "Source": source,
        "DetailType": "Node Report",
        "Detail": json.dumps({"acceptance": "not a report: to be refused"}),
    }
    settings = dataclasses.replace(settings, read_seconds=10.0)
    try:
        answer = Endpoint("events", "1.1", settings, keyring).call(
            "AWSEvents.PutEvents", {"Entries": [entry]}
        )
    except ExchangeError as error:
        return str(error)
    (said,) = answer["Entries"]
    return "accepted" if "EventId" in said else f"{said['ErrorCode']}: {said.get('ErrorMessage')}"


if __name__ == "__main__":
    main(sys.argv[1:])
