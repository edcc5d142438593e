"""The services that moto simulates: one call in, one answer out.

Moto is not written for threads, so each service is under a lock of its own; that also makes
DynamoDB's conditional writes atomic, as they are at AWS.
"""

from __future__ import annotations

import collections
import threading
from typing import Any

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.backends import get_backend
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.serialize import BaseJSONSerializer

from lab.embedded.fidelity import corrects
from lab.embedded.wire import Reply, Request, WireError

# What is simulated, and under which host moto knows it. Everything else is refused; so is STS,
# whose stand-in names somebody else as the caller.
SERVICES = {
    "cloudwatch": "monitoring",
    "dynamodb": "dynamodb",
    "ec2": "ec2",
    "events": "events",
    "logs": "logs",
    "secretsmanager": "secretsmanager",
    "sns": "sns",
    "sqs": "sqs",
}

_locks: dict[str, threading.RLock] = collections.defaultdict(threading.RLock)
_stubber = BotocoreStubber()
_caller = threading.local()


_serialize_structure: Any = BaseJSONSerializer._serialize_type_structure  # noqa: SLF001


def _structure(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    """Pass a DynamoDB attribute value on as it is: moto has it in its wire form already.

    Moto looks each of its keys up under every name that it could have, which was 10 of the 17 ms of
    an UpdateItem that returns a state item. Binary values would fail here, loudly.
    """
    if shape.name == "AttributeValue" and isinstance(value, dict):
        serialized[key] = value
    else:
        _serialize_structure(self, serialized, value, shape, key)


_serializer: Any = BaseJSONSerializer
_serializer._serialize_type_structure = _structure  # noqa: SLF001


def lock_of(service: str) -> threading.RLock:
    """Return the lock under which a service's state may be read or changed."""
    return _locks[service]


def current_principal() -> str:
    """Tell on whose behalf this thread is inside a simulated service."""
    return str(getattr(_caller, "principal", "lab"))


def reset() -> None:
    """Forget everything that moto holds; its state belongs to the process."""
    for service in SERVICES:
        backends: Any = get_backend(service)  # type: ignore[call-overload]
        with lock_of(service):
            backends.reset()


@corrects("conditional-writes-are-atomic")
def call(request: Request, account_id: str) -> Reply:
    """Let moto carry out a call.

    Raises:
        WireError: Moto does not know the operation.
    """
    host = f"https://{SERVICES[request.service]}.{request.region}.amazonaws.com"
    headers = HTTPHeaders()
    for name, value in request.headers.items():
        if name != "host":
            headers[name] = value
    headers["x-moto-account-id"] = account_id
    # Botocore's own declaration says a dict; moto and botocore both take the object.
    prepared = AWSPreparedRequest(
        request.method, host + request.path, headers, request.body, stream_output=False
    )
    unsupported = WireError(
        "NotImplemented",
        f"{request.service}:{request.operation} is not supported by the embedded AWS",
        501,
    )
    with lock_of(request.service):
        _caller.principal = request.principal
        try:
            answer = _stubber.process_request(prepared)
        except NotImplementedError as error:
            # Nothing of ours is left undone: moto raises this for an operation that it lacks, and
            # the caller is to get an error of AWS's form that names it, not a broken connection.
            raise unsupported from error
        finally:
            _caller.principal = "lab"
    if answer is None:
        raise unsupported
    status, answer_headers, body = answer
    raw = body.encode() if isinstance(body, str) else body
    return Reply(int(status), {k: str(v) for k, v in answer_headers.items()}, raw)
