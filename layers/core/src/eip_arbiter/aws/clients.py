"""The time-outs and retries of the AWS clients: every call has an end."""

from __future__ import annotations

from botocore.config import Config

from eip_arbiter.settings import EC2_CONNECT_SECONDS, EC2_LOOK_READ_SECONDS, EC2_READ_SECONDS

EC2_CONFIG = Config(
    connect_timeout=EC2_CONNECT_SECONDS,
    read_timeout=EC2_READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
)
"""For moves; `Ec2Addresses` makes a call again where the time allows it."""
EC2_LOOK_CONFIG = Config(
    connect_timeout=EC2_CONNECT_SECONDS,
    read_timeout=EC2_LOOK_READ_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
)
"""For `doctor`, which asks many questions within the function's time: that EC2 does not answer at
once is what it has to tell."""
EC2_WATCH_CONFIG = EC2_LOOK_CONFIG.merge(
    Config(retries={"mode": "standard", "total_max_attempts": 2})
)
"""For what the watch asks: no deadline waits for it, so it may wait as long as EC2 says."""
DYNAMODB_CONFIG = Config(
    connect_timeout=1,
    read_timeout=1,
    retries={"mode": "standard", "total_max_attempts": 2},
)
EVENTS_CONFIG = DYNAMODB_CONFIG
