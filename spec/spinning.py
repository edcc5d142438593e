"""Spin, from a model to what its verifier says. Needs Debian's packages `spin` and `gcc`."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).with_name("protocol.pml")
TOOLS = ("spin", "gcc")
DEPTH = 3_000_000
COMPILED = ("-w", "-DVECTORSZ=4096", "-DNOBOUNDCHECK")


class MissingToolError(Exception):
    """Spin or its C compiler is not there; the message names it and says how to get it."""


class ModelError(Exception):
    """Spin or the compiler refused the model, or the verifier did not come to an end."""


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
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise MissingToolError(f"{' and '.join(missing)} missing: apt-get install spin gcc")


def verify(
    model: Path,
    work: Path,
    *,
    defines: tuple[str, ...] = (),
    live: bool = False,
    small: bool = False,
) -> Verdict:
    """Has Spin look at every state that a model can reach.

    Args:
        model: the Promela file.
        work: a folder for what Spin and the compiler write.
        defines: macros of the model, `NAME` or `NAME=VALUE`.
        live: judge the model's ltl formula instead of its assertions alone.
        small: a search so short that an optimised verifier would take longer to compile.

    Raises:
        ModelError: there is no verdict; the message is what the failing tool said.
    """
    _run(work, "spin", "-a", *(f"-D{define}" for define in defines), str(model))
    kind = () if live else ("-DSAFETY", "-DNOCLAIM")
    _run(work, "gcc", "-O0" if small else "-O1", *COMPILED, *kind, "-o", "pan", "pan.c")
    said = _run(work, "./pan", "-E", "-n", f"-m{DEPTH}", *(("-a",) if live else ()))
    if ("Search not completed" in said and "errors: 0" in said) or "max search depth" in said:
        raise ModelError(f"the search did not come to its end:\n{said}")
    found = re.search(r"^pan:\d+: (.*?)(?: \(at depth \d+\))?$", said, re.MULTILINE)
    states = re.search(r"^\s*(\d[\d.e+]*) states, stored", said, re.MULTILINE)
    seconds = re.search(r"elapsed time ([\d.]+) seconds", said)
    if not states:
        raise ModelError(said)
    return Verdict(
        violated=found[1] if found else "",
        states=int(float(states[1])),
        seconds=float(seconds[1]) if seconds else 0.0,
        said=said,
    )


def names_of_numbers(work: Path) -> dict[int, str]:
    """How the verifier in a folder numbers the model's names."""
    text = (work / "pan.c").read_text()
    return {
        int(number): name for number, name in re.findall(r'case (\d+): Printf\("(\w+)"\)', text)
    }


def _run(work: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModelError(f"{command[0]}: {done.stdout}{done.stderr}")
    return done.stdout
