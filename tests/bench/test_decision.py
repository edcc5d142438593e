"""What `make bench` times is what it says: one decision that keeps, one that grants."""

from __future__ import annotations

from bench.decision import calm_heartbeat, failover


def test_the_timed_decisions_are_those_they_are_named_after() -> None:
    # Each checks by itself how often it gets as far as a commit.
    calm_heartbeat()()
    failover()()
