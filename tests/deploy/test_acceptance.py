"""The acceptance run's packing, stack and clean-up, with the real `sam` on the second emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from deploy.emulator import REGION, Emulator, emulator, leave_out

from acceptance.clean_up import CleanUp
from acceptance.packaging import Tools, make_bucket, template_of
from acceptance.run import Account, Names, Run
from acceptance.waiting import AcceptanceError, Pace

NAMES = Names("eip-acceptance", "000000000000", REGION)
PACE = Pace(poll=0.5, stack=100)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with emulator(tmp_path) as made:
        settings = {
            "AWS_ENDPOINT_URL": made.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "HOME": str(made.home),
            "NO_PROXY": "127.0.0.1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.mark.timeout(300)
def test_what_sam_packed_becomes_a_stack_that_a_clean_up_takes_away(
    aws: Emulator, tmp_path: Path
) -> None:
    account = Account(aws.client, NAMES)
    run = Run(account, PACE, lambda _: None)
    s3 = aws.client("s3")
    make_bucket(s3, NAMES)
    packed = Tools(REGION).control(NAMES.bucket, tmp_path)
    assert f"s3://{NAMES.bucket}/" in packed.read_text(), "the code is in the run's own bucket"
    leave_out(packed)
    run.stacks.make(NAMES.control, template_of(s3, NAMES.bucket, packed), {})
    assert run.stacks.outputs(NAMES.control)["BusName"] == NAMES.control
    with pytest.raises(AcceptanceError, match="no cluster 'acceptance' is known"):
        run.operate("status")  # the packed function says so
    cleaning = CleanUp(account, PACE, lambda _: None)
    assert cleaning.remove() == []
    assert cleaning.find() == []
    assert run.stacks.find(NAMES.control) is None
    assert aws.client("dynamodb").list_tables()["TableNames"] == []
