"""The shell commands that a node carries out for the run, as root."""

from __future__ import annotations

import base64
from pathlib import Path

_PROBE = Path(__file__).with_name("probe.py").read_bytes()
_FOLDER = "folder=${EIP_ACCEPTANCE_DIR:-/var/tmp}"
_RUN = 'python3 -BIS "$folder/eip-acceptance.py"'

LIST_CLUSTER = "crm_mon -1 --output-as=xml"
END_OF_BOOT = "tail -n 15 /var/log/cloud-init-output.log"
LAST_MOMENT = f'{_FOLDER}; cat "$folder/eip-acceptance-power"'
POWER_LOSS = (
    f'{_FOLDER}; (sleep 1; date +%s.%N > "$folder/eip-acceptance-power"; sync; '
    "echo b > /proc/sysrq-trigger) > /dev/null 2>&1 < /dev/null &"
)
"""The kernel starts anew at once: nothing is stopped, nobody says goodbye, EC2 sees nothing."""


def bring_probe() -> str:
    """Puts the probe on the node."""
    text = base64.b64encode(_PROBE).decode()
    return f'{_FOLDER}; echo {text} | base64 -d > "$folder/eip-acceptance.py"'


def begin(*arguments: str) -> str:
    """Starts a probe, whose name is its second argument; it runs on when the command has ended."""
    shown = " ".join(arguments)
    log = f'"$folder/eip-acceptance-{arguments[1]}.log"'
    return f"{_FOLDER}; setsid {_RUN} {shown} > {log} 2>&1 < /dev/null &"


def ask(*arguments: str) -> str:
    """Runs the probe to its end."""
    return f"{_FOLDER}; {_RUN} {' '.join(arguments)}"


def move(resource: str, node: str) -> str:
    """Has Pacemaker move a resource."""
    return f"crm_resource --move --resource {resource} --node {node}"


def clear(resource: str) -> str:
    """Takes back the constraint that a move leaves behind."""
    return f"crm_resource --clear --resource {resource}"
