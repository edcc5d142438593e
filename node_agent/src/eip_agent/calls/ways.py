"""By which name and family this node reaches an AWS service, and what it tries first.

A dual-stack name leads to the same service over IPv6, which stays with the node when EC2 takes its
public IPv4 address away: that happens in each move of an Elastic IP, to both nodes.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eip_agent.settings import Settings

DEFAULT_DOMAIN = "amazonaws.com"
DUALSTACK_DOMAINS: Mapping[str, str] = {
    "amazonaws.com": "api.aws",
    "amazonaws.com.cn": "api.amazonwebservices.com.cn",
    "amazonaws.eu": "api.amazonwebservices.eu",
    "c2s.ic.gov": "api.aws.ic.gov",
    "sc2s.sgov.gov": "api.aws.scloud",
    "cloud.adc-e.uk": "api.cloud-aws.adc-e.uk",
    "csp.hci.ic.gov": "api.aws.hci.ic.gov",
}
"""For a partition's own domain, as the metadata service tells it, the one of its dual-stack names:
https://docs.aws.amazon.com/general/latest/gr/rande.html#dual-stack-endpoints"""

_DECIDE_AGAIN_SECONDS = 600.0
_ANY_IPV6 = ("2600::", 443)
"""An address of the internet. Nothing is sent there: only the route to it is looked up."""


@dataclass(frozen=True)
class Way:
    """One URL of a service and the address family to connect by, `AF_UNSPEC` for both."""

    url: str
    family: int = socket.AF_UNSPEC


class Ways:
    """The ways to one service, the best one first; for one thread.

    By itself (`endpoints = auto`) a node with a route for IPv6 takes the dual-stack name over IPv6,
    else the classic name. A classic name that resolves to addresses in the VPC goes first: whoever
    gave it an interface endpoint wants it used, and it needs no public address either. A way that
    failed is tried last for ten minutes.
    """

    def __init__(self, service: str, settings: Settings) -> None:
        self._classic, self._dualstack = classic_url(service, settings), ""
        self._is_free_to_choose = settings.endpoints == "auto" and not settings.endpoint_url
        if not settings.endpoint_url and settings.endpoints != "ipv4":
            self._dualstack = dualstack_url(service, settings)
            if settings.endpoints == "dualstack":
                self._classic = self._dualstack or self._classic
        self._order: tuple[Way, ...] = ()
        self._had_ipv6, self._decided_at = False, 0.0

    def order(self) -> tuple[Way, ...]:
        """All ways that this node has now."""
        has_ipv6 = self._is_free_to_choose and bool(self._dualstack) and has_ipv6_route()
        is_old = time.monotonic() - self._decided_at >= _DECIDE_AGAIN_SECONDS
        if not self._order or has_ipv6 != self._had_ipv6 or is_old:
            classic, dualstack = Way(self._classic), Way(self._dualstack, socket.AF_INET6)
            if not has_ipv6:
                self._decide((classic,))
            elif is_private(self._classic):
                self._decide((classic, dualstack))
            else:
                self._decide((dualstack, classic))
            self._had_ipv6 = has_ipv6
        return self._order

    def failed(self, way: Way) -> None:
        """Puts a way behind the others, and has the order stand for ten minutes from now."""
        others = tuple(other for other in self._order if other != way)
        if others:
            self._decide((*others, way))

    def _decide(self, order: tuple[Way, ...]) -> None:
        self._order, self._decided_at = order, time.monotonic()


def classic_url(service: str, settings: Settings) -> str:
    """The name that every region has, for IPv4 only; the region must be known by now."""
    domain = settings.domain or DEFAULT_DOMAIN
    return settings.endpoint_url or f"https://{service}.{settings.region}.{domain}"


def dualstack_url(service: str, settings: Settings) -> str:
    """The name for IPv4 and IPv6, "" where none is known for this partition."""
    domain = DUALSTACK_DOMAINS.get(settings.domain or DEFAULT_DOMAIN)
    return f"https://{service}.{settings.region}.{domain}" if domain else ""


def has_ipv6_route() -> bool:
    """Whether this node would speak to the internet from a global IPv6 address."""
    source = source_towards(socket.AF_INET6, _ANY_IPV6)
    return source is not None and ipaddress.ip_address(source).is_global


def source_towards(family: int, peer: tuple[Any, ...]) -> str | None:
    """The own address that a packet to `peer` would leave from now, None without a route."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(peer)  # A datagram socket sends nothing to connect.
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return None


def is_private(url: str) -> bool:
    """Whether a URL's host resolves to private addresses only, as an interface endpoint does."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname, None, socket.AF_INET)
    except OSError:
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_private for entry in found)
