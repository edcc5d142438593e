"""The time-outs and retries of the AWS clients: every call has an end."""

from __future__ import annotations

from botocore.config import Config

from eip_arbiter.settings import EC2_ATTEMPTS, EC2_CONNECT_SECONDS, EC2_READ_SECONDS

EC2_CONFIG = Config(
    connect_timeout=EC2_CONNECT_SECONDS,
    read_timeout=EC2_READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": EC2_ATTEMPTS},
)
EC2_LOOK_CONFIG = Config(
    connect_timeout=EC2_CONNECT_SECONDS,
    read_timeout=EC2_READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
)
"""For `doctor`, which asks many questions within the function's time: that EC2 does not answer at
once is what it has to tell."""
DYNAMODB_CONFIG = Config(
    connect_timeout=1,
    read_timeout=1,
    retries={"mode": "standard", "total_max_attempts": 2},
)
EVENTS_CONFIG = DYNAMODB_CONFIG
