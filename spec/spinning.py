"""Spin, from a model to what its verifier says. Needs Debian's packages `spin` and `gcc`.

A verifier can take any memory and any time, so each has bounds, and dies with whoever started it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).with_name("protocol.pml")
TOOLS = ("spin", "gcc")
SECONDS = 120.0
"""The longest that one command may take."""
MEGABYTES = 4096
"""The most that a verifier may take."""
_COMPILED = ("-w", "-DVECTORSZ=4096", "-DNOBOUNDCHECK")
_OUT_OF_BOUNDS = re.compile(r"max search depth|-DMEMLIM|out of memory|VECTORSZ is too small")


class MissingToolError(Exception):
    """Spin or its C compiler is not there; the message names it and says how to get it."""


class ModelError(Exception):
    """There is no verdict: a tool refused the model, or the search went out of its bounds."""


@dataclass(frozen=True)
class Verdict:
    """What the verifier said: `violated` is the assertion or claim that broke, "" for none."""

    violated: str
    states: int
    seconds: float
    said: str


def need_tools() -> None:
    """Raises where a tool is missing.

    Raises:
        MissingToolError: Spin, or the C compiler that it uses, is not installed.
    """
    missing = missing_tools()
    if missing:
        raise MissingToolError(f"{' and '.join(missing)} missing: apt-get install spin gcc")


def missing_tools() -> list[str]:
    """What of Spin and its C compiler is not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def make(
    model: Path,
    work: Path,
    *,
    defines: tuple[str, ...] = (),
    live: bool = False,
    small: bool = False,
    megabytes: int = MEGABYTES,
) -> Path:
    """Makes the verifier of a model.

    Args:
        model: the Promela file.
        work: a folder for what Spin and the compiler write.
        defines: macros of the model, `NAME` or `NAME=VALUE`.
        live: judge the model's ltl formula instead of its assertions alone.
        small: a search so short that an optimised verifier would take longer to compile.
        megabytes: the most that the search may take.

    Returns:
        The verifier, a program in `work`.

    Raises:
        ModelError: Spin or the compiler refused the model.
    """
    bounded_run(work, "spin", "-a", *(f"-D{define}" for define in defines), str(model))
    kind = () if live else ("-DSAFETY", "-DNOCLAIM")
    optimised, memory = "-O0" if small else "-Og", f"-DMEMLIM={megabytes}"
    bounded_run(work, "gcc", optimised, *_COMPILED, memory, *kind, "-o", "pan", "pan.c")
    return work / "pan"


def search(
    verifier: Path, *options: str, work: Path | None = None, seconds: float = SECONDS
) -> Verdict:
    """Has a verifier look at every state that its model can reach.

    Args:
        verifier: what `make` made.
        options: further ones of the verifier, as `-a` for the ltl formula.
        work: the folder in which it runs and finds what it reads; its own if none is given.
        seconds: how long it may take.

    Raises:
        ModelError: there is no verdict; the message is what the verifier said.
    """
    # Without -E it would take the end of a history, where nothing can follow, for a deadlock.
    said = bounded_run(
        work or verifier.parent, str(verifier), "-E", "-n", *options, seconds=seconds
    )
    found = re.search(r"^pan:\d+: (.*?)(?: \(at depth \d+\))?$", said, re.MULTILINE)
    if _OUT_OF_BOUNDS.search(said) or ("Search not completed" in said and not found):
        raise ModelError(f"the search went out of its bounds, so there is no verdict:\n{said}")
    states = re.search(r"^\s*(\d[\d.e+]*) states, stored", said, re.MULTILINE)
    took = re.search(r"elapsed time ([\d.]+) seconds", said)
    if not states:
        raise ModelError(said)
    return Verdict(
        violated=found[1] if found else "",
        states=int(float(states[1])),
        seconds=float(took[1]) if took else 0.0,
        said=said,
    )


def names_of_numbers(work: Path) -> dict[int, str]:
    """How the verifier in a folder numbers the model's names."""
    text = (work / "pan.c").read_text()
    return {
        int(number): name for number, name in re.findall(r'case (\d+): Printf\("(\w+)"\)', text)
    }


def bounded_run(work: Path, *command: str, seconds: float = SECONDS) -> str:
    """What a command says on standard output, within a time, and never longer than its caller.

    Raises:
        ModelError: it failed, or it did not end in time and was killed with all that it started.
    """
    # Its own session, so that all of it can be killed; and its kernel's word that it dies with us.
    tied = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
    process = subprocess.Popen(
        (*tied, *command),
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{command[0]} was stopped after {seconds:.0f} s, so there is no verdict"
        ) from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        raise ModelError(f"{command[0]}: {said}{complaint}")
    return said
