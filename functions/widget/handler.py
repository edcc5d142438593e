"""The dashboard's custom widget: every cluster as a page, with confirmed failover buttons."""

from __future__ import annotations

import os
from typing import Any

import boto3
from eip_arbiter.assembly import assemble_board
from eip_arbiter.aws.clients import DYNAMODB_CONFIG

board = assemble_board(os.environ, dynamodb=boto3.client("dynamodb", config=DYNAMODB_CONFIG))


def lambda_handler(event: Any, context: object) -> str:  # noqa: ARG001 - Lambda's form
    """Answers CloudWatch with HTML; it changes nothing. The buttons call the operate function."""
    return board.show(event if isinstance(event, dict) else {})
