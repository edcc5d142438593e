"""Settings of the agent: read once from one INI file and the environment, all problems at once.

Only reading and checking lives here; nothing else in the package reads the environment for itself,
except for what systemd and AWS's own variables say.
"""

from __future__ import annotations

import configparser
import dataclasses
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from eip_contract.fields import NAME
from eip_contract.report import MAX_RESOURCES

DEFAULT_PATH = "/etc/eip-agent/eip-agent.conf"
SECTION = "agent"
ENVIRONMENT_PREFIX = "EIP_AGENT_"
_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+/?\Z", re.ASCII)
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z", re.ASCII)
_ENDPOINTS = ("auto", "ipv4", "dualstack")
_BUS = re.compile(r"(arn:[a-z-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[A-Za-z0-9._/-]{1,256}\Z")
_TABLE = re.compile(r"[A-Za-z0-9._-]{3,255}\Z", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.\\@-]*\.[a-z]+\Z", re.ASCII)
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\])"
_TCP = re.compile(rf"{_HOST}:{_PORT}\Z", re.ASCII)
_HTTP = re.compile(rf"http://{_HOST}(:{_PORT})?(/[!-~]*)?\Z", re.ASCII)
_MAX_CHECKS = 16
_MAX_SOCKET_PATH = 107


class SettingsError(ValueError):
    """The settings cannot be used; the message holds every problem that was found."""


@dataclass(frozen=True)
class Settings:
    """How one agent runs; durations in seconds, commands may carry arguments.

    Empty `region`, `domain`, `endpoint_url` and `node_name` mean: ask the metadata service for the
    first two, use AWS's own endpoints, use this machine's name. `endpoints` says by which of AWS's
    names. An empty `corosync_cfgtool` means: use Corosync's library.
    """

    cluster_id: str = ""
    bus: str = ""
    table: str = ""
    region: str = ""
    endpoint_url: str = ""
    domain: str = ""
    endpoints: str = "auto"
    resources: tuple[str, ...] = ("eip",)
    node_name: str = ""
    calm_seconds: float = 10.0
    alert_seconds: float = 1.0
    claim_seconds: float = 0.25
    status_seconds: float = 5.0
    link_seconds: float = 0.25
    metadata_lag_seconds: float = 45.0
    connect_seconds: float = 0.5
    read_seconds: float = 1.5
    socket: str = "/run/eip-agent/agent.sock"
    state_dir: str = "/var/lib/eip-agent"
    metadata_endpoint: str = "http://169.254.169.254"
    crm_mon: str = "crm_mon"
    crm_resource: str = "crm_resource"
    corosync_cfgtool: str = ""
    corosync_quorumtool: str = "corosync-quorumtool"
    health_units: tuple[str, ...] = ()
    health_tcp: tuple[str, ...] = ()
    health_http: tuple[str, ...] = ()
    health_seconds: float = 5.0
    health_timeout_seconds: float = 2.0
    health_failures: int = 3
    health_successes: int = 2
    attrd_updater: str = "attrd_updater"
    systemctl: str = "systemctl"


def load_settings(path: str, environ: Mapping[str, str]) -> Settings:
    """Reads the file, lets `EIP_AGENT_*` override it, and checks the whole.

    Raises:
        SettingsError: with every problem in one message.
    """
    raw, problems = _read_file(path)
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    for name, value in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX):
            raw[name[len(ENVIRONMENT_PREFIX) :].lower()] = value
    if "AWS_EC2_METADATA_SERVICE_ENDPOINT" in environ:
        raw.setdefault("metadata_endpoint", environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
    raw.setdefault("node_name", os.uname().nodename)
    values: dict[str, object] = {}
    for name, text in raw.items():
        if name not in fields:
            problems.append(f"{name}: there is no such setting")
        elif isinstance(fields[name].default, float):
            values[name] = _seconds(name, text, problems)
        elif isinstance(fields[name].default, int):
            values[name] = _count(name, text, problems)
        elif isinstance(fields[name].default, tuple):
            values[name] = tuple(text.replace(",", " ").split())
        else:
            values[name] = text.strip()
    settings = dataclasses.replace(Settings(), **values)  # type: ignore[arg-type]
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(f"{path}: " + "; ".join(problems))
    return settings


def _read_file(path: str) -> tuple[dict[str, str], list[str]]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except OSError as error:
        return {}, [f"the file cannot be read ({error.strerror})"]
    except (configparser.Error, UnicodeDecodeError) as error:
        return {}, [f"the file is not an INI file ({' '.join(str(error).split())})"]
    problems = [
        f"[{name}]: there is no such section" for name in parser.sections() if name != SECTION
    ]
    return (dict(parser[SECTION]) if SECTION in parser else {}), problems


def _seconds(name: str, text: str, problems: list[str]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 300:  # noqa: PLR2004 - the contract's longest promise
        problems.append(f"{name}: {text!r} is not a number of seconds above 0 and up to 300")
        return 1.0
    return value


def _count(name: str, text: str, problems: list[str]) -> int:
    if not re.match(r"[1-9][0-9]?\Z", text.strip(), re.ASCII):
        problems.append(f"{name}: {text!r} is not a whole number from 1 to 99")
        return 1
    return int(text)


def _contradictions(s: Settings) -> list[str]:
    checks = [
        (NAME.match(s.cluster_id), "cluster_id: needed, letters, digits, dot, dash, underscore"),
        (_BUS.match(s.bus), "bus: needed, the name or the ARN of the event bus"),
        (_TABLE.match(s.table), "table: needed, the name of the DynamoDB table"),
        (NAME.match(s.node_name), f"node_name: {s.node_name!r} cannot be a node's name"),
        (not s.endpoint_url or _URL.match(s.endpoint_url), "endpoint_url: not an http(s) URL"),
        (not s.domain or _DOMAIN.match(s.domain), "domain: not a domain such as amazonaws.com"),
        (s.endpoints in _ENDPOINTS, f"endpoints: not one of {', '.join(_ENDPOINTS)}"),
        (_URL.match(s.metadata_endpoint), "metadata_endpoint: not an http(s) URL"),
        (0 < len(s.resources) <= MAX_RESOURCES, f"resources: name 1 to {MAX_RESOURCES} of them"),
        (all(NAME.match(name) for name in s.resources), "resources: not Pacemaker resource ids"),
        (len(set(s.resources)) == len(s.resources), "resources: one is named twice"),
        (s.alert_seconds < s.calm_seconds, "alert_seconds must be less than calm_seconds"),
        (s.claim_seconds <= s.alert_seconds, "claim_seconds must not exceed alert_seconds"),
        (s.claim_seconds >= 0.1, "claim_seconds must be 0.1 or more"),  # noqa: PLR2004
        (
            s.connect_seconds + s.read_seconds < s.calm_seconds,
            "connect_seconds + read_seconds must be less than calm_seconds",
        ),
        (os.path.isabs(s.socket), "socket: not an absolute path"),
        (len(os.fsencode(s.socket)) <= _MAX_SOCKET_PATH, "socket: longer than 107 bytes"),
        (os.path.isabs(s.state_dir), "state_dir: not an absolute path"),
        (s.crm_mon and s.crm_resource, "crm_mon, crm_resource: a command is needed"),
        (all(_UNIT.match(unit) for unit in s.health_units), "health_units: not names of units"),
        (all(_TCP.match(place) for place in s.health_tcp), "health_tcp: not host:port"),
        (all(_HTTP.match(url) for url in s.health_http), "health_http: not an http URL"),
        (
            len((*s.health_units, *s.health_tcp, *s.health_http)) <= _MAX_CHECKS,
            f"health_units, health_tcp, health_http: more than {_MAX_CHECKS} in all",
        ),
    ]
    return [problem for good, problem in checks if not good]
