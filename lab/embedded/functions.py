"""Lambda around its environments: pools, concurrency, asynchronous invocation and the API."""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from lab.embedded.fidelity import corrects
from lab.embedded.runtime import Environment, FunctionSpec, Invocation
from lab.embedded.wire import Reply, Request, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lab.embedded.later import Later

    SendToQueue = Callable[[str, str, Mapping[str, str]], None]

THROTTLE_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Lambda backs off "from 1 second to a maximum of 5 minutes" for a throttled asynchronous event."""


class ThrottledError(Exception):
    """The function's reserved concurrency is used up."""


@dataclasses.dataclass(frozen=True, slots=True)
class AsyncPolicy:
    """How a function's asynchronous events are retried: its EventInvokeConfig."""

    max_retry_attempts: int = 2
    max_event_age_seconds: float = 21_600.0
    on_failure_arn: str | None = None


class Function:
    """One function and its environments. `invoke` may be called from many threads."""

    def __init__(self, spec: FunctionSpec, variables: Mapping[str, str]) -> None:
        self.spec = spec
        self.async_policy = AsyncPolicy()
        self.permissions: list[tuple[str, str]] = []
        """(principal, source ARN) of each AWS::Lambda::Permission."""
        self._variables = variables
        self._lock = threading.Lock()
        self._idle: list[Environment] = []
        self._busy: set[Environment] = set()
        self._ended = False

    def invoke(self, payload: bytes) -> Invocation:
        """Run one invocation in an idle environment, or in a new one.

        Raises:
            ThrottledError: The reserved concurrency is used up.
            WireError: The embedded AWS has ended, and nothing may start any more.
        """
        with self._lock:
            if self._ended:
                raise WireError("ServiceException", "The embedded AWS has ended.", 500)
            limit = self.spec.reserved_concurrency
            if limit is not None and len(self._busy) >= limit:
                raise ThrottledError(self.spec.name)
            self._idle = [e for e in self._idle if e.alive]
            cold, spec = not self._idle, self.spec
            environment = Environment(spec, self._variables) if cold else self._idle.pop()
            self._busy.add(environment)
        try:
            return environment.invoke(payload, cold=cold)
        finally:
            with self._lock:
                self._busy.discard(environment)
                current = spec is self.spec
                if environment.alive and current:
                    self._idle.append(environment)
            if not current:
                environment.kill()

    def update(self, spec: FunctionSpec, variables: Mapping[str, str]) -> None:
        """Take another configuration: what runs ends as it began, what comes finds the new one."""
        with self._lock:
            self.spec, self._variables = spec, variables
        self.recycle()

    def environments(self) -> list[Environment]:
        """Return the living environments, for tests that kill or stall one."""
        with self._lock:
            return [e for e in [*self._idle, *self._busy] if e.alive]

    @property
    def is_busy(self) -> bool:
        """Whether an invocation runs."""
        with self._lock:
            return bool(self._busy)

    def recycle(self) -> None:
        """End the idle environments, so that the next invocation is a cold start."""
        with self._lock:
            idle, self._idle = self._idle, []
        for environment in idle:
            environment.kill()

    def kill(self) -> None:
        """End every environment; there will be no other."""
        with self._lock:
            self._ended = True
        for environment in self.environments():
            environment.kill()


class Functions:
    """Every function, and what Lambda does around them.

    Args:
        later: Runs asynchronous invocations.
        send_to_queue: Sends a body with attributes to the queue with an ARN.
        retry_seconds: The waits before the retries of an asynchronous event that failed.
    """

    def __init__(
        self, later: Later, send_to_queue: SendToQueue, retry_seconds: Sequence[float]
    ) -> None:
        self.by_name: dict[str, Function] = {}
        self.invocations: list[Invocation] = []
        self._later = later
        self._send_to_queue = send_to_queue
        self._retry_seconds = retry_seconds
        self._subscribers: list[Callable[[Invocation], None]] = []

    def subscribe(self, callback: Callable[[Invocation], None]) -> None:
        """Call `callback` with every invocation that ends, on the invocation's thread."""
        self._subscribers.append(callback)

    def get(self, name: str) -> Function:
        """Find a function by logical id, name or ARN.

        Raises:
            WireError: There is none.
        """
        for function in self.by_name.values():
            if name in {function.spec.logical_id, function.spec.name, function.spec.arn}:
                return function
        raise WireError("ResourceNotFoundException", f"Function not found: {name}", 404)

    def refusal(self, arn: str, principal: str, source_arn: str) -> str | None:
        """Tell why an AWS service may not invoke a function: no such function, or no permission."""
        function = next((f for f in self.by_name.values() if f.spec.arn == arn), None)
        if function is None:
            return "RESOURCE_NOT_FOUND"
        allowed = {(principal, source_arn), (principal, "")} & set(function.permissions)
        return None if allowed else "NO_PERMISSIONS"

    def invoke(self, name: str, payload: bytes) -> Invocation:
        """Invoke and wait.

        Raises:
            WireError: No such function, or it is throttled.
        """
        function = self.get(name)
        try:
            invocation = function.invoke(payload)
        except ThrottledError as error:
            raise WireError("TooManyRequestsException", "Rate Exceeded.", 429) from error
        self.invocations.append(invocation)
        for subscriber in list(self._subscribers):
            subscriber(invocation)
        return invocation

    @corrects("asynchronous-retries")
    def invoke_async(self, name: str, payload: bytes) -> None:
        """Queue an event for a function; retries and the destination for failures follow."""
        function, since = self.get(name), time.monotonic()
        self._later.run(0.0, lambda: self._attempt(function, payload, since, 0, 0))

    def _attempt(
        self, function: Function, payload: bytes, since: float, failures: int, throttles: int
    ) -> None:
        policy = function.async_policy
        try:
            invocation = self.invoke(function.spec.arn, payload)
        except WireError:
            throttles += 1
            wait = THROTTLE_SECONDS[min(throttles, len(THROTTLE_SECONDS)) - 1]
            error: dict[str, Any] = {"errorType": "TooManyRequestsException"}
            exhausted = False
        else:
            if invocation.error is None:
                return
            error, failures = invocation.error, failures + 1
            exhausted = failures > policy.max_retry_attempts
            wait = self._retry_seconds[min(failures, len(self._retry_seconds)) - 1]
        if exhausted:
            self._give_up(function, payload, "RetriesExhausted", failures, error)
        elif time.monotonic() + wait - since > policy.max_event_age_seconds:
            self._give_up(function, payload, "EventAgeExceeded", failures, error)
        else:
            self._later.run(
                wait, lambda: self._attempt(function, payload, since, failures, throttles)
            )

    def _give_up(
        self,
        function: Function,
        payload: bytes,
        condition: str,
        attempts: int,
        error: dict[str, Any],
    ) -> None:
        """Send what failed to the destination (the whole record) and the dead-letter queue."""
        request_id = str(uuid.uuid4())
        if function.async_policy.on_failure_arn:
            record = {
                "version": "1.0",
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
                "requestContext": {
                    "requestId": request_id,
                    "functionArn": f"{function.spec.arn}:$LATEST",
                    "condition": condition,
                    "approximateInvokeCount": attempts,
                },
                "requestPayload": json.loads(payload),
                "responseContext": {
                    "statusCode": 200,
                    "executedVersion": "$LATEST",
                    "functionError": "Unhandled",
                },
                "responsePayload": error,
            }
            self._send_to_queue(function.async_policy.on_failure_arn, json.dumps(record), {})
        if function.spec.dead_letter_arn:
            attributes = {
                "RequestID": request_id,
                "ErrorCode": "200",
                "ErrorMessage": str(error.get("errorMessage", condition))[:1024],
            }
            self._send_to_queue(function.spec.dead_letter_arn, payload.decode(), attributes)

    def kill(self) -> None:
        """End every environment."""
        for function in self.by_name.values():
            function.kill()

    def api(self, request: Request) -> Reply:
        """Answer Lambda's API: Invoke and GetFunctionConfiguration.

        Raises:
            WireError: Another operation, no such function, or a payload that is no JSON.
        """
        if request.operation == "GetFunctionConfiguration":
            return _configuration(self.get(request.resource).spec)
        if request.operation != "Invoke":
            raise WireError(
                "NotImplemented",
                f"lambda: {request.operation} is not supported by the embedded AWS",
                501,
            )
        payload = request.body or b"{}"
        try:
            json.loads(payload)
        except ValueError as error:
            raise WireError("InvalidRequestContentException", str(error)) from error
        kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
        name = self.get(request.resource).spec.arn
        if kind == "DryRun":
            return Reply(204, {}, b"")
        if kind == "Event":
            self.invoke_async(name, payload)
            return Reply(202, {}, b"")
        invocation = self.invoke(name, payload)
        headers = {
            "Content-Type": "application/json",
            "X-Amz-Executed-Version": "$LATEST",
            "x-amzn-RequestId": invocation.request_id,
        }
        if request.headers.get("x-amz-log-type") == "Tail":
            tail = "\n".join(line.text for line in invocation.logs).encode()[-4096:]
            headers["X-Amz-Log-Result"] = base64.b64encode(tail).decode()
        if invocation.error is not None:
            headers["X-Amz-Function-Error"] = "Unhandled"
            return Reply(200, headers, json.dumps(invocation.error).encode())
        return Reply(200, headers, invocation.response or b"null")


def _configuration(spec: FunctionSpec) -> Reply:
    body = {
        "FunctionName": spec.name,
        "FunctionArn": spec.arn,
        "Runtime": spec.runtime,
        "Handler": spec.handler,
        "Timeout": spec.timeout_seconds,
        "MemorySize": spec.memory_mb,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "Environment": {"Variables": dict(spec.environment)},
    }
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
