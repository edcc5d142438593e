"""The instance metadata service, version 2: who this instance is, its addresses, its credentials.

The session token is kept and renewed; every question is answered within a second or given up.
"""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from eip_contract.fields import INSTANCE_ID, IPV4

from eip_agent.calls.aws import Credentials
from eip_agent.calls.channel import Channel, ExchangeError
from eip_agent.calls.ways import DEFAULT_DOMAIN

_TOKEN_SECONDS = 21_600
_OK, _UNAUTHORIZED, _NOT_FOUND = 200, 401, 404
_MACS = "meta-data/network/interfaces/macs/"
_ROLES = "meta-data/iam/security-credentials/"
_TAGS = "meta-data/tags/instance/"


@dataclass(frozen=True)
class Identity:
    """This instance, in AWS's words; `domain` is that of its partition's names."""

    instance_id: str
    region: str
    availability_zone: str
    account: str
    partition: str
    domain: str = DEFAULT_DOMAIN


@dataclass(frozen=True)
class Interface:
    """One network interface: its private addresses, the primary one first, and who is public.

    `public` maps a public address to the private one that it belongs to.
    """

    private_ips: tuple[str, ...]
    public: Mapping[str, str]


class MetadataService:
    """Asks the metadata service at one endpoint; for one thread at a time."""

    def __init__(self, endpoint: str) -> None:
        self._channel = Channel(endpoint, connect_seconds=1.0, read_seconds=1.0)
        self._token = ""

    @property
    def server_date(self) -> str:
        """The date of the last answer, empty where there was none."""
        return self._channel.server_date

    def identity(self) -> Identity:
        """Who this instance is.

        Raises:
            ExchangeError: the service does not answer, or with something else.
        """
        try:
            document = json.loads(self._get("dynamic/instance-identity/document"))
            identity = Identity(
                instance_id=document["instanceId"],
                region=document["region"],
                availability_zone=document["availabilityZone"],
                account=document["accountId"],
                partition=self._get("meta-data/services/partition"),
                domain=self._get("meta-data/services/domain", missing=DEFAULT_DOMAIN).strip(),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ExchangeError("http", "the identity document cannot be read") from error
        if not INSTANCE_ID.match(identity.instance_id):
            raise ExchangeError("http", f"{identity.instance_id!a} is not an instance id")
        return identity

    def public_ips(self) -> tuple[str, ...]:
        """The public addresses bound to this instance's interfaces, sorted.

        Raises:
            ExchangeError: the service does not answer: nothing is known then.
        """
        found: set[str] = set()
        for mac in self._get(_MACS).split():
            found.update(self._get(f"{_MACS}{mac.rstrip('/')}/public-ipv4s", missing="").split())
        return tuple(sorted(ip for ip in found if IPV4.match(ip)))

    def interfaces(self) -> tuple[Interface, ...]:
        """All network interfaces of this instance.

        Raises:
            ExchangeError: the service does not answer.
        """
        found = []
        for mac in self._get(_MACS).split():
            at = f"{_MACS}{mac.rstrip('/')}"
            names = self._get(f"{at}/ipv4-associations/", missing="").split()
            public = {
                ip: self._get(f"{at}/ipv4-associations/{ip}", missing="").strip()
                for ip in (name.rstrip("/") for name in names)
            }
            private = self._get(f"{at}/local-ipv4s", missing="").split()
            found.append(Interface(tuple(private), public))
        return tuple(found)

    def tag(self, key: str) -> str | None:
        """An instance tag's value, empty when it is not set; None when tags are not shown here.

        Raises:
            ExchangeError: the service does not answer.
        """
        keys = self._get(_TAGS, missing="").split()
        if not keys:
            return None
        return self._get(f"{_TAGS}{key}", missing="") if key in keys else ""

    def credentials(self) -> Credentials:
        """Keys of the instance's role.

        Raises:
            ExchangeError: the service does not answer, or the instance has no role.
        """
        role = self._get(_ROLES, missing="").strip()
        if not role:
            raise ExchangeError("credentials", "this instance has no IAM role")
        try:
            raw = json.loads(self._get(_ROLES + role))
            expires = [int(number) for number in re.findall(r"\d+", raw["Expiration"])[:6]]
            return Credentials(
                access_key=raw["AccessKeyId"],
                secret_key=raw["SecretAccessKey"],
                token=raw.get("Token"),
                expires_at=calendar.timegm((*expires, 0, 0, 0)),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ExchangeError("credentials", f"role {role!a} has no usable keys") from error

    def _get(self, path: str, *, missing: str | None = None) -> str:
        """One answer as text; `missing` stands in for "not found" where that is an answer."""
        if not self._token:
            self._renew_token()
        status, body = self._read(path)
        if status == _UNAUTHORIZED:
            self._renew_token()
            status, body = self._read(path)
        if status == _NOT_FOUND and missing is not None:
            return missing
        if status != _OK:
            raise ExchangeError("http", f"the metadata service answers {status} to {path}")
        return body.decode("utf-8", "replace")

    def _read(self, path: str) -> tuple[int, bytes]:
        headers = {"X-aws-ec2-metadata-token": self._token}
        return self._channel.request("GET", f"/latest/{path}", None, headers)

    def _renew_token(self) -> None:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_SECONDS)}
        status, body = self._channel.request("PUT", "/latest/api/token", None, headers)
        if status != _OK:
            raise ExchangeError("http", f"the metadata service gives no token ({status})")
        self._token = body.decode("ascii", "replace")


class Keyring:
    """The credentials in force; reading them never waits for the metadata service.

    `refresh` is called now and then by the thread that speaks to the metadata service, and renews
    keys well before they expire, so that no report has to wait for it.
    """

    _AHEAD_SECONDS = 900

    def __init__(self, service: MetadataService, fixed: Credentials | None) -> None:
        self._service = service
        self._credentials = fixed

    def current(self) -> Credentials:
        """The keys to sign with now.

        Raises:
            ExchangeError: there have been none so far.
        """
        if self._credentials is None:
            raise ExchangeError("credentials", "the metadata service has given none so far")
        return self._credentials

    def refresh(self) -> None:
        """Renews the keys when they are missing or expire soon.

        Raises:
            ExchangeError: they could not be renewed; the old ones stay in force.
        """
        held = self._credentials
        if held is None or (
            held.expires_at is not None and held.expires_at - time.time() < self._AHEAD_SECONDS
        ):
            self._credentials = self._service.credentials()
