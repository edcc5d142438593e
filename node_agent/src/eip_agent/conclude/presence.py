"""What reads of the metadata service amount to: an address has come to this node, or is not here.

Its word counts where the state cannot be read; it may lag behind EC2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eip_agent.remember.sight import NEVER

if TYPE_CHECKING:
    from eip_agent.remember.sight import Sight

READABLE_SECONDS = 15.0
ABSENCE_SECONDS = 5.0
UNREAD_SECONDS = 1.0
"""The state is read four times as often while a start waits."""


def has_arrived(s: Sight, resource: str) -> bool:
    """Whether the address came here while this start waited, and nothing was read since.

    No node can move an address, so that the arbiter put it here, for a claim of this node's.
    """
    here_at = s.arrivals.get(resource, (NEVER, NEVER))[1]
    came = here_at > max(s.words[resource].at, s.status_at)
    return came and s.now - here_at >= UNREAD_SECONDS


def arrival_row(
    s: Sight, resource: str, ips: tuple[str, ...] | None, asked: float
) -> tuple[float, float] | None:
    """When a waiting start's address was last seen absent here, and then first seen here.

    An address that was here all along tells nothing of this start.
    """
    word, address = s.words[resource], s.address(resource)
    row = s.arrivals.get(resource)
    if word.state != "starting" or address is None:
        return None
    if row is not None and row[0] <= word.at:
        row = None  # of an earlier start
    if ips is None or asked <= word.at:
        return row
    if address.public_ip not in ips:
        return (asked, NEVER)
    if row is None:
        return None
    return (row[0], asked if row[1] == NEVER else row[1])


def is_absent(s: Sight, resource: str, after: float) -> bool:
    """Whether the metadata service has just said twice that the address is not here.

    The row must end after the last status could be trusted: while that was true, an absence was
    the metadata service's lag.
    """
    first, last = s.absent.get(resource, (NEVER, NEVER))
    fresh = s.now - last < ABSENCE_SECONDS
    return fresh and last > first and last >= max(after, s.status_at + READABLE_SECONDS)


def absent_row(
    s: Sight, resource: str, ips: tuple[str, ...] | None, asked: float
) -> tuple[float, float] | None:
    """The row of reads in which the metadata service says that a granted address is not here.

    A read that failed neither adds to a row nor ends it; a long gap ends it, since a node that was
    frozen must not believe what was said before.
    """
    word, address = s.words[resource], s.address(resource)
    expected = word.public_ip or (address.public_ip if address else "")
    row = s.absent.get(resource)
    if row is not None and s.now - row[1] >= ABSENCE_SECONDS:
        row = None
    if ips is None:
        return row
    if word.state != "started" or not expected or expected in ips:
        return None
    return (row[0] if row else asked, asked)
