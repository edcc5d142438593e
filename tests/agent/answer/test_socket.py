"""Who may ask the agent over its socket, and what nonsense gets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from agent.fakes import FakeNode
from needs import needed


def ask(node: FakeNode, text: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(5)
        channel.connect(str(node.socket))
        channel.sendall(text)
        answer: dict[str, Any] = json.loads(channel.makefile("rb").readline())
    return answer


@pytest.mark.parametrize(
    "text", [b"\n", b"[]\n", b'{"op":"x"}\n', b'{"op":"stop"}\n', b'{"op":"stop","resource":"y"}\n']
)
def test_nonsense_on_the_socket_is_answered_and_changes_nothing(
    node: FakeNode, text: bytes
) -> None:
    node.start()
    assert ask(node, text)["outcome"] == "error"
    assert node.status()["words"] == {}


@pytest.mark.parametrize(
    "text",
    [b"[" * 4000 + b"\n", b'{"op":"start","resource":"eip","timeout_ms":' + b"9" * 400 + b"}\n"],
)
def test_what_cannot_be_answered_is_an_error_and_ends_nothing(node: FakeNode, text: bytes) -> None:
    node.start()
    assert ask(node, text)["outcome"] == "error"
    assert node.status()["outcome"] == "ok"


def test_strangers_are_not_answered() -> None:
    needed("root, to ask as somebody else", there=os.getuid() == 0)
    code = (
        "import _socket,sys\nc=_socket.socket(_socket.AF_UNIX)\nc.connect(sys.argv[1])\n"
        # The agent may have said no and hung up before it is asked.
        'try:\n c.send(b\'{"op":"status"}\\n\')\nexcept BrokenPipeError: pass\n'
        "print(c.recv(200).decode())"
    )
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    with tempfile.TemporaryDirectory() as folder:
        node = FakeNode(Path(folder))
        try:
            node.start()
            # Even a socket that everybody may open answers only those who may ask.
            for path, mode in ((node.socket, 0o666), (node.socket.parent, 0o755), (folder, 0o755)):
                Path(path).chmod(mode)
            done = subprocess.run(
                [*command, "/usr/bin/python3", "-IS", "-c", code, str(node.socket)],
                capture_output=True,
                check=False,
                text=True,
            )
        finally:
            node.close()
    assert "only root and the cluster's users may ask" in done.stdout, done.stderr


def test_many_askers_at_once_are_all_answered(node: FakeNode) -> None:
    node.start()
    answers: list[str] = []

    def once() -> None:
        answers.append(ask(node, b'{"op":"alert"}\n')["outcome"])

    threads = [threading.Thread(target=once) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["ok"] * 20
