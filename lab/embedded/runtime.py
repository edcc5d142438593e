"""Lambda's execution environments: real processes that run the real runtime client.

Each environment is `python -m awslambdaric HANDLER` in a process of its own, which talks to a
Runtime API of its own here. Different from Lambda: environments are not frozen between invocations,
the Python is the caller's, and memory is not limited.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from lab.embedded.runtime_api import RuntimeApi, Work

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INIT_SECONDS = 10.0
"""Lambda's own limit for the init phase."""


@dataclasses.dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One function as the template defines it, with all references resolved."""

    logical_id: str
    name: str
    arn: str
    handler: str
    runtime: str
    timeout_seconds: float
    memory_mb: int
    environment: Mapping[str, str]
    code: Path
    layers: tuple[Path, ...]
    log_format: str
    log_level: str
    log_group: str
    reserved_concurrency: int | None
    dead_letter_arn: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a function printed; `data` is what it says when it is a JSON object."""

    function: str
    request_id: str
    wall: float
    text: str
    data: dict[str, Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Invocation:
    """One invocation, ended. Exactly one of `response` (JSON text) and `error` is set."""

    function: str
    request_id: str
    payload: bytes
    """What it was invoked with: JSON text."""
    response: bytes | None
    error: dict[str, Any] | None
    cold: bool
    init_seconds: float
    seconds: float
    """Without the init phase."""
    logs: tuple[LogLine, ...]

    @property
    def result(self) -> Any:
        """What the function returned.

        Raises:
            RuntimeError: The invocation failed.
        """
        if self.response is None:
            raise RuntimeError(f"{self.function} failed: {self.error}; it printed {self.logs}")
        return json.loads(self.response)


class Environment:
    """One execution environment: a process that handles one invocation at a time."""

    def __init__(self, spec: FunctionSpec, variables: Mapping[str, str]) -> None:
        self.spec = spec
        self.used_at = time.monotonic()
        self.init_seconds = 0.0
        self._killed = False
        self._started = time.monotonic()
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._log_lock = threading.Lock()
        self._rest, self._lines = b"", list[bytes]()
        self._api = RuntimeApi(self._work, self._news)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", spec.handler],
            cwd=spec.code,
            env={**variables, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._api.server_port}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout  # noqa: S101 - asked for three lines up
        self._pipe = self._process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        threading.Thread(target=self._watch, daemon=True, name=f"watch-{spec.name}").start()

    @property
    def pid(self) -> int:
        """The process, for tests that kill or stall it."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it can take another invocation."""
        return not self._killed and self._process.poll() is None

    def invoke(self, payload: bytes, *, cold: bool) -> Invocation:
        """Run one invocation to its end; afterwards the environment may be dead."""
        request_id = str(uuid.uuid4())
        outcome, started = None, time.monotonic()
        if cold:
            outcome = self._await("ready", INIT_SECONDS, request_id)
            self.init_seconds = time.monotonic() - self._started
            started = time.monotonic()
        if outcome is None:
            deadline_ms = int((time.time() + self.spec.timeout_seconds) * 1000)
            headers = {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": self.spec.arn,
                "Lambda-Runtime-Trace-Id": f"Root=1-{int(started):08x}-{uuid.uuid4().hex[:24]}",
                "Content-Type": "application/json",
            }
            self._work.put((headers, payload))
            outcome = self._await("response", self.spec.timeout_seconds, request_id)
        self.used_at = time.monotonic()
        kind, body = outcome or ("error", b"{}")
        return Invocation(
            function=self.spec.logical_id,
            request_id=request_id,
            payload=payload,
            response=body if kind == "response" else None,
            error=json.loads(body) if kind == "error" else None,
            cold=cold,
            init_seconds=self.init_seconds if cold else 0.0,
            seconds=self.used_at - started,
            logs=tuple(_log_line(self.spec.logical_id, request_id, t) for t in self._drain()),
        )

    def _await(self, wanted: str, seconds: float, request_id: str) -> tuple[str, bytes] | None:
        """Wait for news. None means that it became ready; anything else is the outcome."""
        try:
            kind, body = self._news.get(timeout=seconds)
        except queue.Empty:
            self.kill()
            during = "init phase" if wanted == "ready" else "Task"
            return _failure(
                "Sandbox.Timedout",
                f"RequestId: {request_id} Error: {during} timed out after {seconds:.2f} seconds",
            )
        if kind == "ready":
            return None
        if kind == "init_error":
            self.kill()
            return "error", body
        if kind == "exit":
            how = f"exit status {body}" if body >= 0 else f"signal: {signal.Signals(-body).name}"
            return _failure(
                "Runtime.ExitError",
                f"RequestId: {request_id} Error: Runtime exited with error: {how}",
            )
        return kind, body

    def kill(self) -> None:
        """End the process and what it started, and close its Runtime API."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._work.put(None)

    def _watch(self) -> None:
        """Collect what the process prints; when that ends, tell how the process ended."""
        # Not select(): it knows no descriptor above 1024, and many functions may be up.
        printed = select.poll()
        printed.register(self._pipe, select.POLLIN)
        while True:
            printed.poll()
            if not self._read_pipe():
                break
        code = self._process.wait()
        self._news.put(("exit", code))
        self._work.put(None)
        self._api.close()

    def _read_pipe(self) -> bool:
        """Take in what is there; False at the end of the stream."""
        with self._log_lock:
            try:
                while chunk := os.read(self._pipe, 65536):
                    *lines, self._rest = (self._rest + chunk).split(b"\n")
                    self._lines += lines
            except BlockingIOError:
                return True
            self._lines += [self._rest] if self._rest else []
            self._rest = b""
            return False

    def _drain(self) -> list[str]:
        """Return the lines printed so far, once; what came before an answer is in the pipe."""
        self._read_pipe()
        with self._log_lock:
            lines, self._lines = self._lines, []
        return [line.decode("utf-8", "replace") for line in lines if line.strip()]


def _failure(error_type: str, message: str) -> tuple[str, bytes]:
    return "error", json.dumps({"errorType": error_type, "errorMessage": message}).encode()


def _log_line(function: str, request_id: str, text: str) -> LogLine:
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    data = parsed if isinstance(parsed, dict) else None
    return LogLine(function, request_id, time.time(), text, data)
