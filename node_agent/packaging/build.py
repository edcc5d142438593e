#!/usr/bin/env python3
"""Builds the agent's packages: a .deb, an .rpm, and the agent alone as one file. Needs no root.

One staged tree feeds all three. The formats' own tools pack it (`dpkg-deb`, and `rpmbuild` of
Debian's package `rpm`): they are on any Debian, and leave nothing to us but two descriptions.
Everything is dated SOURCE_DATE_EPOCH, by default the last commit's time, and sorted, so that one
commit gives the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGING = Path(__file__).resolve().parent
NODE_AGENT, ROOT = PACKAGING.parents[0], PACKAGING.parents[1]
MODULES = (NODE_AGENT / "src/eip_agent", ROOT / "layers/contract/src/eip_contract")
PRIVATE = "usr/lib/eip-agent"
FILES = (
    (PACKAGING / "eip-agent", "usr/bin/eip-agent", 0o755),
    (PACKAGING / "sysusers.conf", "usr/lib/sysusers.d/eip-agent.conf", 0o644),
    (NODE_AGENT / "alert/eip-agent-alert", f"{PRIVATE}/eip-agent-alert", 0o755),
    # Here, not among the examples in /usr/share/doc, which small images leave out.
    (ROOT / "examples/classic/bootstrap.sh", f"{PRIVATE}/classic-bootstrap", 0o755),
    (NODE_AGENT / "etc/eip-agent.conf", "etc/eip-agent/eip-agent.conf", 0o644),
    (NODE_AGENT / "ocf/eip", "usr/lib/ocf/resource.d/eip-arbiter/eip", 0o755),
    (NODE_AGENT / "systemd/eip-agent.service", "usr/lib/systemd/system/eip-agent.service", 0o644),
    (ROOT / "LICENSE", "usr/share/doc/eip-agent/copyright", 0o644),
)
MAIN = "import sys\n\nfrom eip_agent.__main__ import main\n\nsys.exit(main())\n"
TOOLS = {"deb": "dpkg-deb", "rpm": "rpmbuild", "pyz": "python3"}


def main() -> int:
    """Runs the command line and returns its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the packages go")
    parser.add_argument("--version", default=_version())
    parser.add_argument("--only", choices=sorted(TOOLS), help="by default all of them")
    arguments = parser.parse_args()
    kinds = [arguments.only] if arguments.only else list(TOOLS)
    missing = [TOOLS[kind] for kind in kinds if shutil.which(TOOLS[kind]) is None]
    if missing:
        sys.stderr.write(f"missing: {', '.join(missing)} (on Debian: apt-get install dpkg rpm)\n")
        return 1
    os.environ["SOURCE_DATE_EPOCH"] = str(_epoch())
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        with tempfile.TemporaryDirectory() as work:
            made = {"deb": deb, "rpm": rpm, "pyz": pyz}[kind](Path(work), folder, arguments.version)
        sys.stdout.write(f"{made}\n")
    return 0


def deb(work: Path, folder: Path, version: str) -> Path:
    """Packs for Debian and Ubuntu."""
    tree = work / "tree"
    stage(tree)
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    sums = [f"{hashlib.md5(p.read_bytes()).hexdigest()}  {p.relative_to(tree)}\n" for p in files]  # noqa: S324 - the format's
    _write(tree / "DEBIAN/md5sums", "".join(sums).encode(), 0o644)
    for script in ("postinst", "prerm", "postrm"):
        _write(tree / "DEBIAN" / script, (PACKAGING / "deb" / script).read_bytes(), 0o755)
    _write(tree / "DEBIAN/conffiles", (PACKAGING / "deb/conffiles").read_bytes(), 0o644)
    kilobytes = sum(path.stat().st_size for path in files) // 1024
    control = (PACKAGING / "deb/control").read_text()
    text = control.format(version=version, kilobytes=kilobytes)
    _write(tree / "DEBIAN/control", text.encode(), 0o644)
    _date(tree)
    made = folder / f"eip-agent_{version}_all.deb"
    _run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", tree, made)
    return made


def rpm(work: Path, folder: Path, version: str) -> Path:
    """Packs for RHEL 9 and its relatives."""
    stage(work / "tree")
    _date(work / "tree")
    values = {"_topdir": work / "rpm", "staged": work / "tree", "agent_version": version}
    defines = [f"--define={name} {value}" for name, value in values.items()]
    _run("rpmbuild", "--quiet", "-bb", *defines, PACKAGING / "rpm/eip-agent.spec")
    name = f"eip-agent-{version}-1.noarch.rpm"
    return Path(shutil.copy(work / "rpm/RPMS/noarch" / name, folder / name))


def pyz(_work: Path, folder: Path, _version: str) -> Path:
    """Packs the agent alone as one zip file to run; `zipapp` would neither sort nor date it."""
    made = folder / "eip-agent.pyz"
    date = (1980, 1, 1, 0, 0, 0)
    with made.open("wb") as file:
        file.write(b"#!/usr/bin/python3 -BIS\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("__main__.py", date), MAIN)
            for path, name in _modules():
                archive.writestr(zipfile.ZipInfo(name, date), path.read_bytes())
    made.chmod(0o755)
    return made


def stage(tree: Path) -> None:
    """Lays out the files as they will lie on a node."""
    for source, target, mode in FILES:
        _write(tree / target, source.read_bytes(), mode)
    for path, name in _modules():
        _write(tree / PRIVATE / name, path.read_bytes(), 0o644)
    for page in (NODE_AGENT / "man").iterdir():
        section = page.suffix[1:]
        packed = gzip.compress(page.read_bytes(), mtime=0)
        _write(tree / f"usr/share/man/man{section}/{page.name}.gz", packed, 0o644)


def _modules() -> list[tuple[Path, str]]:
    """The Python modules with their names below the folder that `sys.path` gets."""
    return [
        (path, path.relative_to(package.parent).as_posix())
        for package in MODULES
        for path in sorted(package.rglob("*.py"))
    ]


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _date(tree: Path) -> None:
    """Gives every file and folder the same time, and folders the same mode whatever the umask."""
    for path in [*tree.rglob("*"), tree]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (_epoch(), _epoch()))


def _epoch() -> int:
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def _version() -> str:
    text = (NODE_AGENT / "src/eip_agent/__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("eip_agent/__init__.py has no __version__")
    return found[1]


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
