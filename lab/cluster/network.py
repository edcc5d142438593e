"""The two networks of the lab: the cluster's ring, and the way to AWS and to the public page.

Bridges and the outer ends of all links are in the enclosure; the inner ends are in the nodes.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lab.cluster.protocol import AwsCut

AWS_ADDRESS = "10.78.0.254"
"""The enclosure's own address: the embedded AWS binds here."""

METADATA_ADDRESS = "169.254.169.254"
PAGE_PORT = 80


def ring_address(number: int) -> str:
    """Give the address of node `number` on the ring."""
    return f"10.77.0.{number}"


def aws_address(number: int) -> str:
    """Give the address of node `number` towards AWS and the public."""
    return f"10.78.0.{number}"


def make_bridges() -> None:
    """Make the ring, the other side of a cut ring, and the network of AWS."""
    lines = [f"link add {name} type bridge forward_delay 0" for name in ("ring", "ring-cut", "aws")]
    # A bridge takes the lowest address of its ports unless it has its own: a node that goes away
    # would change it, and the others would talk to the old one until their caches forget it.
    lines += [f"link set {name} address {_mac(0, 0)} up" for name in ("ring", "ring-cut", "aws")]
    _ip([*lines, f"addr add {AWS_ADDRESS}/24 dev aws"])


def remove_bridges() -> None:
    """Remove all bridges, so that another cluster can be made."""
    _ip([f"link del {name}" for name in ("ring", "ring-cut", "aws")])


def plug_in(node: str, number: int, pid: int) -> None:
    """Give a freshly booted node (its process 1 is `pid`) both links and all its addresses."""
    _ip(
        [
            f"link add {node}-ring type veth peer name ring0 address {_mac(number, 1)} netns {pid}",
            f"link add {node}-aws type veth peer name aws0 address {_mac(number, 2)} netns {pid}",
            f"link set {node}-ring master ring up",
            f"link set {node}-aws master aws up",
        ]
    )
    _ip(
        [
            "link set lo up",
            f"addr add {METADATA_ADDRESS}/32 dev lo",
            f"addr add {ring_address(number)}/24 dev ring0",
            f"addr add {aws_address(number)}/24 dev aws0",
            "link set ring0 up",
            "link set aws0 up",
        ],
        inside=pid,
    )


def _mac(number: int, link: int) -> str:
    """A hardware address that stays with a node over its boots, as an interface's does at EC2."""
    return f"02:00:00:00:{number:02x}:{link:02x}"


def pull_out(node: str) -> None:
    """Take both links away, as a machine without power does."""
    _ip([f"link del {node}-ring", f"link del {node}-aws"])


def move_to_ring(nodes: list[str], ring: str) -> None:
    """Put nodes on one side (`ring`) or on the other (`ring-cut`); carriers stay up, as in AZs."""
    _ip([f"link set {node}-ring master {ring}" for node in nodes])


def cut_aws(node: str, number: int, how: AwsCut) -> None:
    """Cut a node's way to AWS; except for `unreachable`, its public page still answers."""
    if how == "unreachable":
        _ip([f"link set {node}-aws down"])
    else:
        _firewall("-A", number, how)


def restore_aws(node: str, number: int, how: AwsCut) -> None:
    """Take back what `cut_aws` did in this way."""
    if how == "unreachable":
        _ip([f"link set {node}-aws up"])
    else:
        _firewall("-D", number, how)


def lose_way(number: int) -> None:
    """From now on nothing that a node sends comes out, as where it has no public address."""
    _run(["iptables", "-w", "-A", *_all_from(number)])


def find_way(number: int) -> None:
    """Take back what `lose_way` did."""
    _run(["iptables", "-w", "-D", *_all_from(number)])


def _all_from(number: int) -> list[str]:
    return f"INPUT -i aws -s {aws_address(number)} -j DROP".split()


def drop(inside: int, arriving: str, how: Literal["DROP", "REJECT"] = "DROP") -> None:
    """Drop (or refuse) in a node what arrives there and matches, in iptables' own words."""
    _inside(inside, "-I", arriving, "-j", how)


def accept(inside: int, arriving: str, how: Literal["DROP", "REJECT"] = "DROP") -> int:
    """Take back what `drop` did; tells how many packets it had stopped."""
    counted = _inside(inside, "-v", "-x", "-n", "-L", "INPUT", "1").split()
    _inside(inside, "-D", arriving, "-j", how)
    return int(counted[0])


def from_ring(sender: int | None = None) -> str:
    """Describe to `drop` what comes over the ring, from one node or from all."""
    return "-i ring0" if sender is None else f"-i ring0 -s {ring_address(sender)}"


TO_METADATA = f"-i lo -d {METADATA_ADDRESS} -p tcp --dport 80"
"""Describes to `drop` what the node asks its metadata service."""


def _inside(pid: int, action: str, *words: str) -> str:
    chain = [] if "-L" in words else ["INPUT"]
    arguments = " ".join([action, *chain, *words]).split()
    return _run(["nsenter", "-t", str(pid), "-n", "--", "iptables", "-w", *arguments])


def _firewall(action: str, number: int, how: AwsCut) -> None:
    # Answers of the node's own page also come from this address: they have the page's port.
    rule = f"INPUT -i aws -s {aws_address(number)} -p tcp ! --sport {PAGE_PORT} -j"
    verdict = "DROP" if how == "blackhole" else "REJECT --reject-with tcp-reset"
    _run(["iptables", "-w", action, *rule.split(), *verdict.split()])


def _ip(lines: list[str], inside: int | None = None) -> None:
    enter = ["nsenter", "-t", str(inside), "-n", "--"] if inside is not None else []
    _run([*enter, "ip", "-batch", "-"], "\n".join(lines) + "\n")


def _run(argv: list[str], text: str = "") -> str:
    done = subprocess.run(argv, input=text, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}\n{text}")
    return done.stdout
