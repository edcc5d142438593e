"""What Pacemaker remembers of failures, from texts that the real `crm_mon` printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from acceptance.measures.failovers import failures_in

SAMPLES = Path(__file__).parents[1] / "agent/samples"


@pytest.mark.parametrize(
    ("sample", "failures"),
    [
        ("healthy.n1", []),
        ("failed_monitor.n1", ["eip_monitor_10000 on n2"]),
        ("heal_after_refusal.n2", ["eip_start_0 on n2"]),
    ],
)
def test_a_failure_that_stays_is_found(sample: str, failures: list[str]) -> None:
    assert failures_in((SAMPLES / f"{sample}.xml").read_text()) == failures
