"""The shipped resource agent `ocf/eip`, run as a task: its source, with a machine of the model.

Its files, its clock and its socket are replaced; every decision in it is the shipped one.
"""

from __future__ import annotations

import functools
import io
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulation import clock
from simulation.clock import Loop, Process

SOURCE = Path(__file__).parents[2] / "node_agent/ocf/eip"
_LAST_LINE = "sys.exit(main())\n"

Ask = Callable[[dict[str, Any], float], str]
"""Asks the node's agent: a request and how long to wait; an empty answer when it is away."""


@functools.lru_cache(maxsize=1)
def _code() -> types.CodeType:
    text = SOURCE.read_text()
    if not text.endswith(_LAST_LINE):
        raise AssertionError(f"{SOURCE} no longer ends with {_LAST_LINE!r}")
    return compile(text[: -len(_LAST_LINE)], str(SOURCE), "exec")


class _Mark(io.StringIO):
    """An open file of the model."""

    def __init__(self, files: dict[str, tuple[str, float]], path: str, mode: str) -> None:
        if mode == "r" and path not in files:
            raise FileNotFoundError(path)
        super().__init__(files[path][0] if mode == "r" else "")
        self.files, self.path, self.writes = files, path, mode == "w"

    def fileno(self) -> Any:
        """Itself: the model's `fstat` asks it for its time."""
        return self

    def close(self) -> None:
        """Keeps what was written."""
        if not self.closed and self.writes:
            self.files[self.path] = (self.getvalue(), clock.time.time())
        super().close()


class ResourceAgent:
    """One node's resource agents; `files` are those that a reboot empties."""

    def __init__(
        self,
        loop: Loop,
        resources: tuple[str, ...],
        ask: Ask,
        metadata_ips: Callable[[], tuple[str, ...]],
    ) -> None:
        self.files: dict[str, tuple[str, float]] = {}
        self._loop, self._ask, self._metadata_ips = loop, ask, metadata_ips
        self._spaces = {resource: self._space(resource) for resource in resources}

    def _space(self, resource: str) -> dict[str, Any]:
        space: dict[str, Any] = {"__name__": "eip", "__builtins__": __builtins__}
        exec(_code(), space)  # noqa: S102 - the shipped source itself
        files = self.files

        def unlink(path: str) -> None:
            if files.pop(path, None) is None:
                raise FileNotFoundError(path)

        os = types.SimpleNamespace(
            environ={},
            path=types.SimpleNamespace(exists=lambda path: path in files, dirname=lambda _: "/run"),
            makedirs=lambda *_, **__: None,
            unlink=unlink,
            fstat=lambda mark: types.SimpleNamespace(st_mtime=files[mark.path][1]),
        )

        def ask(operation: str, seconds: float) -> str:
            request = json.loads(f'{{"resource":"{resource}","op":{operation}}}')
            return self._ask(request, seconds)

        space.update(
            os=os,
            time=clock.time,
            open=lambda path, mode="r": _Mark(files, path, mode),
            ask=ask,
            NAME=resource,
            MARK=f"/run/mark-{resource}",
            is_absent=lambda ip: ip not in self._metadata_ips(),
            leave_note=lambda kind: files.__setitem__(f"{kind}.{resource}", ("", 0.0)),
            sys=types.SimpleNamespace(stderr=io.StringIO()),
        )
        return space

    def marked(self, resource: str) -> bool:
        """Whether the resource agent holds the resource for started here."""
        return f"/run/mark-{resource}" in self.files

    def run(
        self,
        process: Process,
        resource: str,
        action: str,
        seconds: float,
        done: Callable[[int], None],
    ) -> None:
        """Runs one action; 124 stands for Pacemaker's time-out."""
        ended: list[int] = []

        def end(code: int) -> None:
            if not ended:
                ended.append(code)
                timer.cancel()
                done(code)

        timer = self._loop.at(seconds, lambda: end(124), process)
        space = self._spaces[resource]
        space["os"].environ["OCF_RESKEY_CRM_meta_timeout"] = f"{1000 * seconds:.0f}"
        self._loop.spawn(lambda: end(space[action]()), process)
