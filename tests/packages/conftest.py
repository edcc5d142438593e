"""The packages, built once for all tests, and a throwaway copy of this machine to try them on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from needs import needed
from packages.throwaway import Throwaway

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Built:
    """One version's packages."""

    deb: Path
    rpm: Path
    pyz: Path


def build(folder: Path, version: str) -> Built:
    """Builds all packages as the Makefile does, but for the version."""
    needed("dpkg-deb", there=shutil.which("dpkg-deb") is not None)
    needed("rpmbuild", there=shutil.which("rpmbuild") is not None)
    script = ROOT / "node_agent/packaging/build.py"
    done = subprocess.run(
        [sys.executable, script, "--version", version, folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return Built(*(Path(line) for line in done.stdout.splitlines()))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("packages"), "1.0.0")


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("newer"), "1.0.1")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Throwaway]:
    needed("root", there=os.geteuid() == 0)
    needed(
        "pacemaker", there=shutil.which("pacemakerd", path=f"{os.defpath}:/usr/sbin") is not None
    )
    with Throwaway(tmp_path / "machine") as made:
        yield made
