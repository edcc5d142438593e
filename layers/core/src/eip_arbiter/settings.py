"""A function's settings: read once from the environment, checked together, frozen.

Also the time-outs of EC2's client, since the timing rule is checked against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eip_arbiter.decision.policy import Policy

EC2_CONNECT_SECONDS, EC2_READ_SECONDS, EC2_AGAIN_SECONDS, EC2_PAUSE_SECONDS = 1, 5, 1, 0.25
"""AWS publishes no time for AssociateAddress, and moves happen while a zone is ill: an answer may
take 5 s. botocore's own retries are off: where EC2's answer has `x-amz-retry-after` they wait up to
6 s, and then the function would be killed before it says that the address was not moved. A call is
made again once, after a pause, and only if it failed so soon that both fit into
`EC2_AGAIN_SECONDS`; the same call from the same grant does no harm if EC2 did it already."""
EC2_CALL_MS = 1000 * (EC2_CONNECT_SECONDS + EC2_READ_SECONDS + EC2_AGAIN_SECONDS)
"""The longest that one EC2 call can take, made again or not."""
EC2_LOOK_READ_SECONDS = 2
EC2_LOOK_CALL_MS = 1000 * (EC2_CONNECT_SECONDS + EC2_LOOK_READ_SECONDS)
"""The longest that one EC2 call of `doctor` can take, which is not retried."""

_SECONDS = {
    "ANSWER_SECONDS": "answer_ms",
    "MOVE_SECONDS": "move_ms",
    "RELEASE_SECONDS": "release_ms",
    "DRIFT_SECONDS": "drift_ms",
    "START_TIMEOUT_SECONDS": "start_timeout_ms",
    "FUNCTION_TIMEOUT_SECONDS": "function_timeout_ms",
    "FLAP_WINDOW_SECONDS": "brake_window_ms",
}


class SettingsError(RuntimeError):
    """The function cannot start; the message lists every problem."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a function is deployed with."""

    table_name: str
    bus_name: str
    policy: Policy


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Reads and checks the environment of a function.

    Raises:
        SettingsError: with all problems in one message.
    """
    problems = []
    table_name, bus_name = (environment.get(name, "") for name in ("TABLE_NAME", "BUS_NAME"))
    if not table_name:
        problems.append("TABLE_NAME is not set")
    if not bus_name:
        problems.append("BUS_NAME is not set")
    times = {}
    for name, field in _SECONDS.items():
        raw = environment.get(name, "")
        if raw.isascii() and raw.isdigit():
            times[field] = int(raw) * 1000
        else:
            problems.append(f"{name} is {raw!r}, not a whole number of seconds")
    flap_moves = environment.get("FLAP_MOVES", "")
    if flap_moves.isascii() and flap_moves.isdigit():
        times["brake_moves"] = int(flap_moves)
    else:
        problems.append(f"FLAP_MOVES is {flap_moves!r}, not a whole number")
    policy = Policy(ec2_call_ms=EC2_CALL_MS, **times)
    problems += policy.problems()
    if problems:
        raise SettingsError("the settings do not hold: " + "; ".join(problems))
    return Settings(table_name, bus_name, policy)
