"""boto3 clients whose calls are answered in this process, checked against AWS's service model.

What is asked is validated by botocore as for AWS, and so is the answer. The four services are those
that the embedded AWS does not have; each is named for what it is, a stand-in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.validate import validate_parameters

Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


class RefusedError(Exception):
    """The stand-in refuses, as AWS would, by a code."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True)
class _Http:
    status_code: int


def answered(service: str, answer: Answer, region: str = "eu-central-1") -> Any:
    """A client of a service, each call of which `answer(operation, parameters)` answers."""
    client = boto3.client(
        service,  # type: ignore[call-overload] # the stubs know each service by a literal
        region_name=region,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "virtual"}),
    )

    def remember(params: dict[str, Any], context: dict[str, Any], **_more: Any) -> None:
        context["asked"] = dict(params)

    def reply(model: Any, context: dict[str, Any], **_more: Any) -> Any:
        try:
            said = answer(model.name, context["asked"])
        except RefusedError as refused:
            error = {"Code": refused.code, "Message": str(refused)}
            told = {"HTTPStatusCode": refused.status}
            return _Http(refused.status), {"Error": error, "ResponseMetadata": told}
        if model.output_shape is not None:
            validate_parameters(said, model.output_shape)
        return _Http(200), {**said, "ResponseMetadata": {"HTTPStatusCode": 200}}

    client.meta.events.register("before-parameter-build", remember)
    client.meta.events.register("before-call", reply)
    return client
