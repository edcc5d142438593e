"""`make acceptance`: docs/acceptance.md says what it does, what it costs and how to read it."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from acceptance import plan
from acceptance.clean_up import CleanUp
from acceptance.packaging import Tools
from acceptance.run import Account, Names
from acceptance.waiting import AcceptanceError, Pace
from acceptance.whole import carry_out

_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, read_timeout=60)
"""The calls of EC2 are measured: a slow one must not be cut short and made again."""
_REGIONAL = Config(
    signature_version="s3v4",
    s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
)
"""A new bucket's global name redirects for some hours, and a node does not follow redirects."""
_ACCOUNT = re.compile(r"\d{12}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,23}")
_REFUSED = 2


def say(text: str) -> None:
    """A line of progress, with the time."""
    # A terminal that was closed must not end the clean-up.
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        sys.stdout.flush()


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make acceptance ARGS=...",
        description="Measures the product in a real account. Without --yes: says what it would do.",
    )
    add = parser.add_argument
    add("--account", help="the account to work in, 12 digits: compared with the one of the keys")
    add("--region", help="the region; by default the one of your AWS settings")
    add("--profile", help="a profile of your AWS settings")
    add("--name", default="eip-acceptance", help="of the stacks (default: %(default)s)")
    add("--yes", action="store_true", help="do it: this costs money, see the dry run")
    add("--dry-run", action="store_true", help="only say what would be done, and its cost")
    add("--clean-up", action="store_true", help="only remove what an earlier run left")
    add("--keep", action="store_true", help="leave everything there at the end, to look at it")
    add("--report", type=Path, default=Path("acceptance-report"), help="the report's folder")
    parsed = parser.parse_args(given)
    if parsed.account and not _ACCOUNT.fullmatch(parsed.account):
        parser.error(f"--account {parsed.account}: an account has 12 digits")
    if not _NAME.fullmatch(parsed.name):
        parser.error(f"--name {parsed.name}: a letter, then up to 23 letters, digits and hyphens")
    if parsed.yes and parsed.dry_run:
        parser.error("--yes and --dry-run contradict each other")
    if parsed.yes and not parsed.account:
        parser.error("--yes needs --account: name the account in which this may cost money")
    return parsed


def account_of(session: Any, given: argparse.Namespace) -> Account:
    """The account that the keys belong to.

    Raises:
        AcceptanceError: It is not the one that was named, or there is no region.
    """
    region = given.region or session.region_name
    if not region:
        raise AcceptanceError("no region: --region, or AWS_DEFAULT_REGION")

    def client(service: str) -> Any:
        config = _REGIONAL if service == "s3" else _CONFIG
        return session.client(service, region_name=region, config=config)

    caller = client("sts").get_caller_identity()
    if given.account and caller["Account"] != given.account:
        raise AcceptanceError(
            f"the keys are of account {caller['Account']} ({caller['Arn']}), not of {given.account}"
        )
    return Account(client, Names(given.name, caller["Account"], region))


def main(given: Sequence[str] | None = None, session: Any = None) -> int:
    """Runs the command line and returns its exit status."""
    parsed = arguments(given)
    try:
        if not parsed.yes and not parsed.clean_up:
            names = Names(parsed.name, parsed.account or "000000000000", parsed.region or "REGION")
            sys.stdout.write(
                f"{plan.text(names)}\n\nNothing was done: that needs --yes --account.\n"
            )
            return 0
        session = session or boto3.session.Session(profile_name=parsed.profile)
        account = account_of(session, parsed)
        if parsed.clean_up:
            return clean_up(account, do_it=parsed.yes)
        packer = Tools(account.names.region, parsed.profile)
        packer.check()
        return carry_out(account, packer, parsed.report, say=say, keep=parsed.keep)
    except (AcceptanceError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"acceptance: {error}\n")
        return _REFUSED


def clean_up(account: Account, *, do_it: bool) -> int:
    """Removes what an earlier run left; without `do_it` only says what that is."""
    cleaning = CleanUp(account, Pace(), say)
    if not do_it:
        for left in cleaning.find():
            say(f"would remove {left.what}")
        say("nothing was done: that needs --yes --account")
        return 0
    problems = cleaning.remove()
    for problem in problems:
        say(f"LEFT IN THE ACCOUNT: {problem}")
    say("there is more to do by hand" if problems else "nothing is left")
    return 3 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
