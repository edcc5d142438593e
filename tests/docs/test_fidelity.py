"""What is relied on at AWS: the page has a row for each correction of the embedded AWS."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest
from docs.pages import ROOT
from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.responses.elastic_ip_addresses import ElasticIPAddresses

import lab.embedded
from lab.embedded import corrections
from lab.embedded.fidelity import CORRECTIONS

PAGE = (ROOT / "docs/fidelity.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| behaviour")
]
CORRECTED = (
    ElasticAddress,
    ElasticAddressBackend,
    NetworkInterface,
    InstanceBackend,
    ElasticIPAddresses,
)
HOW = re.compile(r"(\[D\]\[(\w+)\]|\b[MFESA]\b|RFC \d+)")


def named() -> list[str]:
    """The corrections that the rows name."""
    return [name for row in ROWS for name in re.findall(r"`([\w-]+)`", row[-1])]


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """Where each correction is made: all modules of the embedded AWS are known, and installed."""
    for module in pkgutil.iter_modules(lab.embedded.__path__):
        importlib.import_module(f"lab.embedded.{module.name}")
    corrections.install(None)
    return CORRECTIONS


def test_each_correction_has_a_row_and_each_row_that_names_one_names_one(
    made: dict[str, str],
) -> None:
    assert sorted(named()) == sorted(made)


def test_what_replaces_a_part_of_moto_has_a_name(made: dict[str, str]) -> None:
    replaced: list[Any] = [
        getattr(value, "fget", value)
        for owner in CORRECTED
        for value in vars(owner).values()
        if str(getattr(getattr(value, "fget", value), "__module__", "")).startswith("lab.")
    ]
    assert len(replaced) > len(CORRECTED), "else this sees nothing"
    unnamed = [value.__qualname__ for value in replaced if not hasattr(value, "corrects")]
    assert unnamed == []
    assert made


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0])[:60])
def test_each_row_says_all_that_the_page_promises(row: list[str]) -> None:
    behaviour, where, how, otherwise, _ = row
    assert behaviour
    assert where
    assert otherwise
    assert HOW.search(how), f"how is it known? {how}"
    for _, page in HOW.findall(how):
        if page:
            assert f"\n[{page}]: https://docs.aws.amazon.com/" in PAGE


def test_each_address_of_the_page_is_used() -> None:
    given = set(re.findall(r"^\[(\w+)\]: ", PAGE, re.MULTILINE))
    assert given == set(re.findall(r"\[D\]\[(\w+)\]", PAGE))


def test_the_readme_leads_to_it() -> None:
    assert "(docs/fidelity.md)" in Path(ROOT / "README.md").read_text()
