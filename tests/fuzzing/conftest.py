"""The shipped handlers, for all hostile input."""

from __future__ import annotations

import importlib.util

import boto3
import pytest
from fuzzing.region import HANDLERS, ROOT


@pytest.fixture(autouse=True, scope="module")
def handlers() -> None:
    """The shipped handlers' modules, without clients and parts of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "client", lambda *_, **__: None)
        for part in ("assemble", "assemble_inspection"):
            patch.setattr(f"eip_arbiter.assembly.{part}", lambda *_, **__: None)
        for name in ("arbitrate", "operate"):
            spec = importlib.util.spec_from_file_location(
                f"fuzzed_{name}", ROOT / "functions" / name / "handler.py"
            )
            assert spec is not None
            assert spec.loader is not None
            HANDLERS[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(HANDLERS[name])
