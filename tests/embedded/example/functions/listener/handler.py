"""Writes each event it receives into the table, and misbehaves where the event asks for it."""

import json
import os
import sys
import time
from typing import Any

import boto3
from botocore.config import Config
from shared_words import GREETING  # type: ignore[import-not-found]

_CONFIG = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})
_TABLE = boto3.client("dynamodb", config=_CONFIG)


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Do what `detail.do` says."""
    detail = event.get("detail", {})
    line = json.dumps({"level": "INFO", "message": GREETING, "id": event.get("id", "")})
    sys.stdout.write(line + "\n")
    wish = detail.get("do", "write")
    if wish == "raise":
        raise ValueError("as asked")
    if wish == "crash":
        os._exit(7)
    if wish == "sleep":
        time.sleep(detail["seconds"])
    _TABLE.put_item(
        TableName=os.environ["TABLE"],
        Item={
            "pk": {"S": event.get("source", "none")},
            "sk": {"S": event.get("id", "none")},
            "detail": {"S": json.dumps(detail)},
        },
    )
    return {"pid": os.getpid(), "stage": os.environ["STAGE"]}
