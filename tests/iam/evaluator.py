"""Asks a real evaluator whether policies allow a request; which requests is the tests' business."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Request:
    """One call as IAM sees it: `action` on one `resource`, with the keys of its context."""

    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)


def evaluate(asked: Sequence[tuple[Sequence[Any], Request]]) -> list[str]:
    """Tells "Allowed" or a denial for each pair of identity policies and a request."""
    simulations = [
        {
            "identityPolicies": [
                {"name": f"policy-{number}", "policy": policy}
                for number, policy in enumerate(policies)
            ],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            "request": {
                "principal": f"arn:aws:iam::{ACCOUNT}:role/tested",
                "action": request.action,
                "resource": {"resource": request.resource, "accountId": ACCOUNT},
                "contextVariables": dict(request.context),
            },
        }
        for policies, request in asked
    ]
    done = subprocess.run(
        ["node", "evaluate.js"],
        cwd=FOLDER,
        input=json.dumps(simulations),
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    answers: list[str] = json.loads(done.stdout)
    return answers
