"""The times that a decision obeys, and the rule that they must fit together.

Milliseconds throughout. `docs/timing.md` argues the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

DRIFT_RULE = "R080"
"""Putting drift right is no move to another node, but one too many is as bad."""
FRESH_FACTOR = 2
FRESH_SLACK_MS = 2_000
PROMISE_SLACK_MS = 1_000
START_RESERVE_MS = 2_000
"""What a refused start leaves of its timeout: the resource agent's `START_RESERVE_SECONDS`."""
LATE_MS = 30_000
"""What EventBridge delivers later than this is no evidence any more. Shorter than the time in which
an instance stops and starts again: who speaks so long after EC2's word is not going."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Deployed times.

    `answer_ms`: how long a challenged holder may be silent. `move_ms`: from a grant until somebody
    else may resume it. `retry_ms`: the same after EC2 refused the call. `release_ms`: how long a
    released address waits for a claim. `drift_ms`: from a settlement until it counts
    that the holder's metadata service does not show the address. `alert_report_ms`: the reports'
    cadence in an alarm. `start_timeout_ms`: Pacemaker's time-out for the resource's start.
    `brake_moves` in `brake_window_ms`: so many automatic moves put the flap brake on. `follow_ms`:
    how long an order's target may leave the address unclaimed while Pacemaker starts elsewhere.
    """

    answer_ms: int = 3_000
    move_ms: int = 10_000
    retry_ms: int = 2_000
    release_ms: int = 60_000
    drift_ms: int = 15_000
    alert_report_ms: int = 1_000
    start_timeout_ms: int = 60_000
    function_timeout_ms: int = 9_000
    ec2_call_ms: int = 8_000
    brake_moves: int = 3
    brake_window_ms: int = 600_000
    follow_ms: int = 30_000

    def problems(self) -> list[str]:
        """Every way in which the times contradict each other, in words; empty when they fit."""
        found = [
            f"{name} must be above 0" for name in self.__slots__ if int(getattr(self, name)) <= 0
        ]
        found += self._start_problems()
        if self.function_timeout_ms >= self.move_ms:
            found.append(
                f"the function timeout ({self.function_timeout_ms} ms) must be below the move "
                f"deadline ({self.move_ms} ms), or two invocations move the same address"
            )
        if self.ec2_call_ms >= self.function_timeout_ms:
            found.append(
                f"one EC2 call ({self.ec2_call_ms} ms) must be below the "
                f"function timeout ({self.function_timeout_ms} ms), or an error is never surfaced"
            )
        return found

    def _start_problems(self) -> list[str]:
        """Why a start could give up before its grant settles."""
        waits_ms, alerts_ms = self.start_timeout_ms - START_RESERVE_MS, 2 * self.alert_report_ms
        needed = {
            "answer time + move deadline + 2 alert reports": self.answer_ms + self.move_ms,
            "twice the answer time (a claimant without quorum) + the pause after a refused call "
            "+ 2 alert reports": 2 * self.answer_ms + self.retry_ms,
        }
        return [
            f"{what} ({ms + alerts_ms} ms) must be below the resource's start timeout less the "
            f"{START_RESERVE_MS} ms that the resource agent keeps ({waits_ms} ms), "
            "or a start gives up before its grant settles"
            for what, ms in needed.items()
            if ms + alerts_ms >= waits_ms
        ]
