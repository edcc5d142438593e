"""The embedded AWS as one object: deploys a template, serves the API, and can be watched and hurt.

This module wires the parts together; what each part does lives in its own module.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from moto.ec2.models import ec2_backends

from lab.embedded import corrections, simulated
from lab.embedded.eventbridge import EventBridge
from lab.embedded.faults import FaultSwitch
from lab.embedded.functions import Functions
from lab.embedded.journal import Journal, Move
from lab.embedded.later import Later
from lab.embedded.making import Site
from lab.embedded.server import Server
from lab.embedded.stack import Stack
from lab.embedded.translate import translate
from lab.embedded.wire import Reply, Request, WireError, access_key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lab.embedded.corrections import Place
    from lab.embedded.runtime import FunctionSpec, Invocation

REGION = "eu-central-1"
ACCOUNT_ID = "123456789012"
_LOG = logging.getLogger(__name__)
_STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "stopping": 64}


class EmbeddedAws:
    """AWS for one stack, from `__enter__` to `__exit__`. One at a time in a process.

    Args:
        template: The SAM template to deploy.
        work_dir: Where `journal.jsonl` and `functions.jsonl` are written.
        bind: The address to listen on.
        port: The port; 0 takes a free one.
        parameters: The template's parameters.
        stack_name: The stack's name.
        async_retry_seconds: The waits before the retries of a failed asynchronous event. Lambda
            waits one minute and then two; shorter waits keep a demonstration short.
        minute_seconds: How long a minute of a schedule takes; at 0 nothing comes by schedule.
    """

    region = REGION
    account_id = ACCOUNT_ID
    _running = False

    def __init__(
        self,
        template: Path,
        *,
        work_dir: Path,
        bind: str = "127.0.0.1",
        port: int = 0,
        parameters: Mapping[str, str] | None = None,
        stack_name: str = "eip-arbiter",
        async_retry_seconds: Sequence[float] = (60.0, 120.0),
        minute_seconds: float = 60.0,
    ) -> None:
        self.template = template
        self.work_dir = work_dir
        self._parameters = dict(parameters or {})
        self._stack_name = stack_name
        self._address = (bind, port)
        work_dir.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(work_dir / "journal.jsonl")
        self.faults = FaultSwitch()
        self.later = Later()
        self.functions = Functions(self.later, self._send_to_queue, async_retry_seconds)
        self.events = EventBridge(
            self.account_id,
            self.region,
            self.functions,
            self.later,
            send_to_queue=self._send_to_queue,
            publish=self._publish,
            minute_seconds=minute_seconds,
        )
        self.stack: Stack
        self.deploy_seconds = 0.0
        self._clients: dict[tuple[str, str], Any] = {}
        self._function_log = (work_dir / "functions.jsonl").open("a", buffering=1)
        self.functions.subscribe(self._write_invocation)

    def __enter__(self) -> Self:
        """Deploy and serve.

        Raises:
            TemplateError: The template cannot be deployed; the message says why.
            RuntimeError: Another embedded AWS runs in this process.
        """
        began = time.monotonic()
        translation = translate(self.template, self._parameters, self.region)
        if EmbeddedAws._running:
            raise RuntimeError("one embedded AWS at a time in a process: moto's state is global")
        simulated.reset()
        corrections.install(self)
        self._server = Server(*self._address, self._dispatch, self.journal, self.faults)
        self.endpoint_url = self._server.url
        self._server.start()
        EmbeddedAws._running = True
        try:
            self.site = Site(
                name=self._stack_name,
                account_id=self.account_id,
                region=self.region,
                client=lambda service: self.client(service, "cloudformation"),
                functions=self.functions,
                variables=self.variables,
                say=_LOG.info,
            )
            self.stack = Stack(translation, self.site)
            self.stack.deploy()
        except BaseException:
            self.__exit__()
            raise
        self.outputs: Mapping[str, str] = self.stack.outputs
        self.deploy_seconds = time.monotonic() - began
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop serving and end every process that was started."""
        self.later.close()
        self.faults.clear()
        self.functions.kill()
        self._server.close()
        corrections.install(None)
        self.journal.close()
        self._function_log.close()
        EmbeddedAws._running = False

    def client(self, service: str, principal: str = "operator", **config: Any) -> Any:
        """Return a boto3 client that calls this AWS as `principal`.

        Without `config` (botocore's Config arguments) the client is shared between callers.
        """
        shared = (service, principal)
        if not config and shared in self._clients:
            return self._clients[shared]
        key, secret = self.credentials(principal)
        made = boto3.client(
            service,  # type: ignore[call-overload] # the stubs know each service by a literal
            region_name=self.region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(**{"retries": {"total_max_attempts": 1}, **config}),
        )
        if not config:
            self._clients[shared] = made
        return made

    def credentials(self, principal: str) -> tuple[str, str]:
        """Return the access key id and the secret of a principal; signatures are not checked."""
        return access_key_id(principal), f"no-secret-of-{principal}"

    def invoke(self, name: str, payload: Any) -> Invocation:
        """Invoke a function by its logical id, name or ARN, and wait for its end."""
        return self.functions.invoke(name, json.dumps(payload).encode())

    def subscribe_to_invocations(self, callback: Callable[[Invocation], None]) -> None:
        """Call `callback` with every invocation that ends, logs included."""
        self.functions.subscribe(callback)

    def set_instance_state(self, instance_id: str, state: str) -> None:
        """Bring an instance into one state, and let EC2 say so on the default bus.

        "stopped", "terminated" and "running" come with the transitional state before them, unless
        the instance is in a transitional state already.
        """
        backend: Any = ec2_backends[self.account_id][self.region]
        with simulated.lock_of("ec2"):
            instance = backend.get_instance(instance_id)
            transitional = instance.state in _STATE_CODES and instance.state != "running"
            if state in _STATE_CODES and state != "running":
                instance._state.name, instance._state.code = state, _STATE_CODES[state]  # noqa: SLF001
                self.instance_changed(instance_id, (state,))
                return
            change = {
                "running": backend.start_instances,
                "stopped": backend.stop_instances,
                "terminated": backend.terminate_instances,
            }[state]
            self._skip_transitional = transitional
            change([instance_id])
            self._skip_transitional = False

    _skip_transitional = False

    @property
    def describe_lag_seconds(self) -> float:
        """How far EC2's descriptions are behind (asked by EC2's stand-in)."""
        as_of = self.faults.describe_as_of
        return self.faults.describe_lag_seconds if as_of is None else self.journal.now() - as_of

    def address_moved(
        self, operation: str, allocation_id: str, public_ip: str, was: Place, now: Place
    ) -> None:
        """Note in the journal what EC2 changed (called by EC2's stand-in)."""
        self.journal.append(
            Move(
                at=time.monotonic(),
                wall=time.time(),
                principal=simulated.current_principal(),
                operation=operation,
                allocation_id=allocation_id,
                public_ip=public_ip,
                from_interface=was.interface_id,
                from_instance=was.instance_id,
                to_interface=now.interface_id,
                to_instance=now.instance_id,
                to_private_ip=now.private_ip,
                association_id=now.association_id,
            )
        )

    def instance_changed(self, instance_id: str, states: tuple[str, ...]) -> None:
        """Emit EC2's state-change events (called by EC2's stand-in)."""
        arn = f"arn:aws:ec2:{self.region}:{self.account_id}:instance/{instance_id}"
        for state in states[1:] if self._skip_transitional else states:
            self.events.emit(
                "aws.ec2",
                "EC2 Instance State-change Notification",
                {"instance-id": instance_id, "state": state},
                [arn],
            )

    def _dispatch(self, request: Request) -> Reply:
        if request.region != self.region:
            raise WireError("InvalidRegion", f"only {self.region} is here, not {request.region}")
        if request.service == "lambda":
            return self.functions.api(request)
        if request.service == "cloudformation" and request.operation == "DescribeStacks":
            return Reply(200, {"Content-Type": "text/xml"}, self.stack.describe_xml().encode())
        if request.service == "events" and (reply := self.events.api(request)):
            return reply
        if request.service in simulated.SERVICES:
            return simulated.call(request, self.account_id)
        raise WireError(
            "NotImplemented",
            f"{request.service}:{request.operation} is not supported by the embedded AWS",
            501,
        )

    def variables(self, spec: FunctionSpec) -> dict[str, str]:
        """Return the whole environment of a function's process: nothing is inherited."""
        key, secret = self.credentials(spec.logical_id)
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": "/tmp",  # noqa: S108 - as in Lambda
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(str(p) for p in (spec.code, *spec.layers)),
            "_HANDLER": spec.handler,
            "LAMBDA_TASK_ROOT": str(spec.code),
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": "local",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": spec.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        }
        if spec.log_format == "JSON":
            variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
            variables["AWS_LAMBDA_LOG_LEVEL"] = spec.log_level
        return {**variables, **spec.environment}

    def _send_to_queue(self, arn: str, body: str, attributes: Mapping[str, str]) -> None:
        sqs = self.client("sqs", "aws-services")
        url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
        typed = {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()}
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=typed)

    def _publish(self, arn: str, message: str) -> None:
        self.client("sns", "aws-services").publish(TopicArn=arn, Message=message)

    def _write_invocation(self, invocation: Invocation) -> None:
        for line in invocation.logs:
            record = {
                "function": line.function,
                "request_id": line.request_id,
                "wall": line.wall,
                "line": line.data if line.data is not None else line.text,
            }
            if not self._function_log.closed:
                self._function_log.write(json.dumps(record) + "\n")
