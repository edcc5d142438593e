"""What the stacks are given: templates of any length, a package with its sum, errors explained."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from account.answered import answered
from account.embedded_account import PlainPacker

from acceptance import packaging
from acceptance.packaging import Tools, classic_parameters, make_bucket, template_of
from acceptance.run import Names
from acceptance.waiting import AcceptanceError

NAMES = Names("eip-acceptance", "123456789012", "eu-central-1")


class Bucket:
    """An S3 that remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.client = answered("s3", self._answer)

    def _answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((operation, asked))
        return {}


def test_a_short_template_goes_along_and_a_long_one_by_the_bucket(tmp_path: Path) -> None:
    bucket, short, long = Bucket(), tmp_path / "short.yaml", tmp_path / "long.yaml"
    short.write_text("Resources: {}")
    assert template_of(bucket.client, NAMES.bucket, short) == {"TemplateBody": "Resources: {}"}
    assert bucket.asked == []
    long.write_text("#" * 60_000)
    url = template_of(bucket.client, NAMES.bucket, long)["TemplateURL"]
    assert url.startswith(f"https://{NAMES.bucket}.s3.")
    assert url.endswith("/long.yaml"), "without a signature, which may be longer than allowed"
    assert bucket.asked[0][1]["Key"] == "long.yaml"


def test_a_bucket_says_its_region_but_where_s3_wants_none() -> None:
    bucket = Bucket()
    make_bucket(bucket.client, NAMES)
    make_bucket(bucket.client, Names("eip-acceptance", "123456789012", "us-east-1"))
    (_, first), (_, second) = bucket.asked
    assert first["CreateBucketConfiguration"] == {"LocationConstraint": "eu-central-1"}
    assert "CreateBucketConfiguration" not in second


def test_the_nodes_fetch_what_was_put_into_the_bucket_and_nobody_gets_in(tmp_path: Path) -> None:
    bucket, package = Bucket(), PlainPacker().agent(tmp_path)
    parameters = classic_parameters(bucket.client, NAMES, package)
    assert bucket.asked[0][1]["Body"].read() == package.read_bytes()
    assert parameters["AgentPackageSha256"] == hashlib.sha256(package.read_bytes()).hexdigest()
    assert "Signature=" in parameters["AgentPackageUrl"]
    assert parameters["AdminCidr"] == "127.0.0.1/32"
    assert parameters["SystemsManager"] == "yes"


def test_a_command_that_fails_or_is_missing_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaging, "SAM", tmp_path / "sam")
    with pytest.raises(AcceptanceError, match=r"make \.venv-sam/\.ok"):
        Tools("eu-central-1").check()
    (tmp_path / "sam").write_text("#!/bin/sh\necho 'Error: no such bucket' >&2\nexit 1\n")
    (tmp_path / "sam").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AcceptanceError, match="apt-get install dpkg"):
        Tools("eu-central-1").check()
    monkeypatch.undo()
    monkeypatch.setattr(packaging, "SAM", tmp_path / "sam")
    with pytest.raises(AcceptanceError, match="sam build failed: Error: no such bucket"):
        Tools("eu-central-1").control("bucket", tmp_path)
