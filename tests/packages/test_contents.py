"""What is in the packages, and that one commit always gives the same ones."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from needs import needed
from packages.conftest import ROOT, Built, build

EXPECTED = {
    "/etc/eip-agent/eip-agent.conf": 0o644,
    "/usr/bin/eip-agent": 0o755,
    "/usr/lib/eip-agent/eip-agent-alert": 0o755,
    "/usr/lib/eip-agent/classic-bootstrap": 0o755,
    "/usr/lib/eip-agent/eip_agent/__main__.py": 0o644,
    "/usr/lib/eip-agent/eip_contract/report.py": 0o644,
    "/usr/lib/ocf/resource.d/eip-arbiter/eip": 0o755,
    "/usr/lib/systemd/system/eip-agent.service": 0o644,
    "/usr/lib/sysusers.d/eip-agent.conf": 0o644,
    "/usr/share/doc/eip-agent/copyright": 0o644,
    "/usr/share/man/man5/eip-agent.conf.5.gz": 0o644,
    "/usr/share/man/man7/ocf_eip-arbiter_eip.7.gz": 0o644,
    "/usr/share/man/man8/eip-agent.8.gz": 0o644,
}


def output(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return done.stdout


def in_deb(package: Path) -> dict[str, int]:
    """File -> mode; every file must belong to root."""
    files = {}
    for line in output("dpkg-deb", "-c", package).splitlines():
        mode, owner, _, _, _, name = line.split(maxsplit=5)
        assert owner == "root/root"
        if not mode.startswith("d"):
            letters = zip(mode[1:], "rwxrwxrwx", strict=True)
            files[name[1:]] = int("".join(str(int(a == b)) for a, b in letters), 2)
    return files


def in_rpm(package: Path) -> dict[str, int]:
    query = "[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME}\\n]"
    files = {}
    for line in output("rpm", "-qp", "--queryformat", query, package).splitlines():
        name, mode, owner = line.rsplit(maxsplit=2)
        assert owner == "root:root"
        if stat.S_ISREG(int(mode, 8)):
            files[name] = stat.S_IMODE(int(mode, 8))
    return files


def test_both_packages_hold_the_same_files_and_no_bytecode(built: Built) -> None:
    deb, rpm = in_deb(built.deb), in_rpm(built.rpm)
    assert deb == rpm
    assert EXPECTED.items() <= deb.items()
    assert {Path(name).suffix for name in deb} == {"", ".py", ".conf", ".service", ".gz"}
    source = ROOT / "node_agent/src"
    modules = {f"/usr/lib/eip-agent/{path.relative_to(source)}" for path in source.rglob("*.py")}
    assert modules == {name for name in deb if "/eip_agent/" in name}


def test_the_packages_say_what_they_need_and_which_file_is_the_operators(built: Built) -> None:
    assert output("dpkg-deb", "--info", built.deb, "conffiles") == (
        "/etc/eip-agent/eip-agent.conf\n"
    )
    assert output("rpm", "-qpc", built.rpm) == "/etc/eip-agent/eip-agent.conf\n"
    fields = output("dpkg-deb", "--field", built.deb, "Version", "Architecture", "Depends")
    assert "Version: 1.0.0" in fields
    assert "Architecture: all" in fields
    assert "python3 (>= 3.9)" in fields
    assert "python3 >= 3.9" in output("rpm", "-qpR", built.rpm)
    assert "digests OK" in output("rpm", "-K", built.rpm)


def test_one_commit_gives_the_same_bytes_whatever_the_umask_and_the_folder(
    built: Built, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        again = build(tmp_path / "elsewhere", "1.0.0")
    finally:
        os.umask(before)
    for one, other in ((built.deb, again.deb), (built.rpm, again.rpm), (built.pyz, again.pyz)):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_the_single_file_is_the_whole_agent(built: Built, tmp_path: Path) -> None:
    """It knows its settings, and finds no agent: nothing but the file itself is there."""
    config = tmp_path / "agent.conf"
    config.write_text(f"[agent]\ncluster_id = c\nbus = b\ntable = tab\nsocket = {tmp_path}/s\n")
    done = subprocess.run(
        [built.pyz, "status", "--config", config],
        cwd=tmp_path,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (69, "")
    assert "no agent answers" in done.stderr


@pytest.mark.parametrize("page", sorted((ROOT / "node_agent/man").iterdir()), ids=lambda p: p.name)
def test_man_pages_are_free_of_warnings(page: Path) -> None:
    needed("man", there=shutil.which("man") is not None)
    done = subprocess.run(
        ["man", "--warnings", "-l", "-Tutf8", "-Z", page],
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_man_pages_name_every_setting_and_parameter() -> None:
    sample = (ROOT / "node_agent/etc/eip-agent.conf").read_text()
    settings = set(re.findall(r"^#?([a-z_]+) =", sample, re.MULTILINE))
    page = (ROOT / "node_agent/man/eip-agent.conf.5").read_text()
    assert settings
    assert {name for name in settings if not re.search(rf"\b{name}\b", page)} == set()
    agent = (ROOT / "node_agent/ocf/eip").read_text()
    page = (ROOT / "node_agent/man/ocf_eip-arbiter_eip.7").read_text()
    for parameter in re.findall(r'<parameter name="([^"]+)"', agent):
        assert f".B {parameter}\n" in page
