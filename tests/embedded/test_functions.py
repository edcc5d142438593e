"""Lambda: real processes, and every way in which one can end."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from embedded.helpers import eventually

from lab.embedded.functions import Function

if TYPE_CHECKING:
    from pathlib import Path

    from lab.embedded.cloud import EmbeddedAws


@pytest.fixture(autouse=True)
def fresh(aws: EmbeddedAws) -> None:
    aws.functions.get("Worker").recycle()


def test_the_first_invocation_is_cold_and_the_second_uses_the_same_environment(
    aws: EmbeddedAws,
) -> None:
    first, second = aws.invoke("Worker", {"a": 1}), aws.invoke("Worker", {"a": 2})
    assert (first.cold, second.cold) == (True, False)
    assert first.init_seconds > 0
    assert first.result["event"] == {"a": 1}
    assert first.result["name"] == aws.functions.get("Worker").spec.name
    assert first.result["pid"] == second.result["pid"]


def test_an_exception_is_the_functions_error_and_the_environment_lives_on(
    aws: EmbeddedAws,
) -> None:
    failed = aws.invoke("Worker", {"do": "raise"})
    assert failed.error
    assert (failed.error["errorType"], failed.error["errorMessage"]) == ("ValueError", "as asked")
    assert any(line.data and line.data["errorType"] == "ValueError" for line in failed.logs)
    assert not aws.invoke("Worker", {}).cold


def test_a_crash_is_told_as_lambda_tells_it(aws: EmbeddedAws) -> None:
    for wish, how in (("crash", "exit status 7"), ("segfault", "signal: SIGKILL")):
        ended = aws.invoke("Worker", {"do": wish})
        assert ended.error
        assert ended.error["errorType"] == "Runtime.ExitError"
        assert ended.error["errorMessage"].endswith(how)
        assert aws.invoke("Worker", {}).cold


def test_the_functions_timeout_ends_its_process(aws: EmbeddedAws) -> None:
    listener = aws.functions.get("Listener")
    listener.recycle()
    began = time.monotonic()
    ended = aws.invoke("Listener", {"detail": {"do": "sleep", "seconds": 30}})
    assert ended.error
    assert ended.error["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in ended.error["errorMessage"]
    assert time.monotonic() - began < 4
    assert not listener.environments()
    assert aws.invoke("Listener", {}).cold


def test_a_module_that_cannot_be_imported_is_an_error_of_the_invocation(
    aws: EmbeddedAws, tmp_path: Path
) -> None:
    (tmp_path / "handler.py").write_text("import no_such_module\n")
    function = _function(aws, code=tmp_path)
    for _ in range(2):
        ended = function.invoke(b"{}")
        assert ended.error
        assert ended.error["errorType"] == "Runtime.ImportModuleError"
        assert "no_such_module" in ended.error["errorMessage"]


def test_four_at_once_run_in_four_environments(aws: EmbeddedAws) -> None:
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(aws.invoke("Worker", {"seconds": 0.3})))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({r.result["pid"] for r in results}) == 4
    assert aws.invoke("Worker", {}).result["pid"] in {r.result["pid"] for r in results}


def test_reserved_concurrency_throttles(aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = _function(aws, reserved_concurrency=0)
    monkeypatch.setitem(aws.functions.by_name, "limited", limited)
    with pytest.raises(ClientError, match="TooManyRequestsException"):
        aws.client("lambda").invoke(FunctionName="limited")


def test_an_environment_that_is_killed_while_idle_is_replaced(aws: EmbeddedAws) -> None:
    pid = aws.invoke("Worker", {}).result["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not aws.functions.get("Worker").environments())
    assert aws.invoke("Worker", {}).cold


def test_the_api_invokes_and_shows_the_log(aws: EmbeddedAws) -> None:
    client = aws.client("lambda")
    answer = client.invoke(FunctionName="Listener", Payload=b"{}", LogType="Tail")
    assert json.loads(answer["Payload"].read())["stage"] == "test"
    assert b"from the layer" in base64.b64decode(answer["LogResult"])
    failed = client.invoke(FunctionName="Worker", Payload=b'{"do": "raise"}')
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "ValueError"
    name = aws.functions.get("Worker").spec.arn
    assert client.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
    assert client.invoke(FunctionName=name, InvocationType="Event")["StatusCode"] == 202
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.invoke(FunctionName="nobody")
    with pytest.raises(ClientError, match="not supported by the embedded AWS"):
        client.list_functions()


def test_a_function_calls_aws_under_its_own_name_and_inherits_no_environment(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGE", "the caller's")
    aws.functions.get("Listener").recycle()
    since = aws.journal.now()
    assert aws.invoke("Listener", {"id": "x"}).result["stage"] == "test"
    [call] = aws.journal.calls(since=since, principal="Listener")
    assert (call.service, call.operation, call.outcome) == ("dynamodb", "PutItem", "ok")


def _function(aws: EmbeddedAws, **changes: Any) -> Function:
    """Return a function like Worker, but for some changes."""
    spec = dataclasses.replace(
        aws.functions.get("Worker").spec, name="limited", arn="limited", **changes
    )
    return Function(spec, aws.variables(spec))
