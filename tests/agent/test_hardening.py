"""The unit's exposure, who is answered over the socket, and that nothing reaches a shell."""

from __future__ import annotations

import ast
import grp
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.fakes import ROOT, FakeNode
from needs import needed

UNIT = ROOT / "node_agent/systemd/eip-agent.service"
ALERT = ROOT / "node_agent/alert/eip-agent-alert"
NOBODY = 65534
ASK = (
    "import _socket,sys\nc=_socket.socket(_socket.AF_UNIX)\nc.connect(sys.argv[1])\n"
    'try:\n c.send(b\'{"op":"alert"}\\n\')\nexcept BrokenPipeError: pass\n'
    "print(c.recv(200).decode())"
)


def test_the_units_exposure_is_two_or_better_and_each_exception_is_explained() -> None:
    needed("systemd-analyze", there=shutil.which("systemd-analyze") is not None)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNIT],
        env={"PATH": os.defpath, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    level = re.search(r"exposure level for eip-agent\.service: ([0-9.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) <= 2.0
    comments = "".join(line for line in UNIT.read_text().splitlines() if line.startswith("#"))
    left_open = re.findall(r"^✗ (\w+)=", done.stdout, re.MULTILINE)
    assert left_open
    assert [name for name in left_open if name not in comments] == []


def test_a_restart_of_the_agent_leaves_pacemakers_shared_memory_alone() -> None:
    """With RemoveIPC systemd deletes whatever IPC the unit's user or group owns when it stops.

    /dev/shm/qb-* of all of Pacemaker's connections belong to haclient, the unit's group.
    """
    lines = UNIT.read_text().splitlines()
    assert "Group=haclient" in lines
    assert not [line for line in lines if line.startswith(("RemoveIPC=", "DynamicUser="))]


def ids(name: str) -> tuple[int, int]:
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid


def answer(uid: int, gid: int, groups: Sequence[int]) -> str:
    """What the agent says to somebody, over a socket that the file system lets everybody open."""
    with tempfile.TemporaryDirectory() as folder:
        node = FakeNode(Path(folder))
        try:
            node.start()
            mode = node.socket.stat().st_mode & 0o777
            assert mode == 0o660, "the file system keeps others out as well"
            for path, mode in ((node.socket, 0o666), (node.socket.parent, 0o755), (folder, 0o755)):
                Path(path).chmod(mode)
            return subprocess.run(
                ["/usr/bin/python3", "-IS", "-c", ASK, str(node.socket)],
                user=uid,
                group=gid,
                extra_groups=list(groups),
                capture_output=True,
                check=True,
                text=True,
                timeout=20,
            ).stdout
        finally:
            node.close()


def test_who_is_answered_and_who_is_not() -> None:
    needed("root", there=os.geteuid() == 0)
    needed("pacemaker", there="haclient" in {group.gr_name for group in grp.getgrall()})
    haclient = grp.getgrnam("haclient").gr_gid
    hacluster, _ = ids("hacluster")
    for uid, gid, groups, answered in (
        (0, 0, [], True),
        (hacluster, NOBODY, [], True),
        (NOBODY, haclient, [], True),
        (NOBODY, NOBODY, [4, haclient], True),
        (NOBODY, NOBODY, [4], False),
    ):
        said = answer(uid, gid, groups)
        assert ('"ok"' in said) is answered, (uid, gid, groups, said)


def test_a_hostile_alert_is_only_text(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    hostile = f"$(touch {trap});`touch {trap}`'\"; touch {trap}; #"
    names = ("recipient", "node", "desc", "rsc", "task", "kind")
    done = subprocess.run(
        [ALERT],
        env={"PATH": os.defpath} | {f"CRM_alert_{name}": hostile for name in names},
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert not trap.exists()


def test_no_code_of_the_node_starts_a_shell() -> None:
    calls = []
    files = [*(ROOT / "node_agent/src").rglob("*.py"), ROOT / "node_agent/ocf/eip"]
    for path in files:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call):
                calls += _shells(call)
    assert len(files) > 20
    assert calls == []


def _shells(call: ast.Call) -> list[Any]:
    name = ast.unparse(call.func)
    by_option = [word for word in call.keywords if word.arg == "shell"]
    by_name = name in ("os.system", "os.popen", "subprocess.getoutput", "eval", "exec")
    return [name] if by_option or by_name else []
