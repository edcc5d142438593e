"""One AWS service, spoken to in AWS's JSON protocol and signed by hand.

Signature Version 4 for a POST without a query, as AWS's guide describes it; the tests compare it
with botocore's signer. Where one way to the service is dead the next one is tried; no other retry
and no waiting lives here.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from eip_agent.calls.channel import NO_WAY, Channel, ExchangeError
from eip_agent.calls.ways import Way, Ways

if TYPE_CHECKING:
    from eip_agent.settings import Settings

THROTTLED = ("Throttl", "TooManyRequests", "ProvisionedThroughputExceeded", "RequestLimitExceeded")
_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500


class Clock:
    """AWS's time, by the dates of its answers; this machine's own until there is one.

    Orders end by AWS's time, and a signature is taken from a machine that is minutes off.
    """

    def __init__(self) -> None:
        self._epoch_at_0: float | None = None

    @property
    def is_heard(self) -> bool:
        """Whether an answer has told the time so far."""
        return self._epoch_at_0 is not None

    def heard(self, date: str) -> None:
        """Takes an answer's `Date` in; one that cannot be read changes nothing."""
        try:
            self._epoch_at_0 = parsedate_to_datetime(date).timestamp() - time.monotonic()
        except (TypeError, ValueError, IndexError):
            return

    def now_ms(self) -> int:
        """Milliseconds since the epoch, to a second."""
        if self._epoch_at_0 is None:
            return int(time.time() * 1000)
        return int((self._epoch_at_0 + time.monotonic()) * 1000)


@dataclass(frozen=True)
class Credentials:
    """Keys to sign with; `expires_at` in seconds since the epoch, None for keys that stay."""

    access_key: str
    secret_key: str
    token: str | None = None
    expires_at: int | None = None


class Keys(Protocol):
    """Where the credentials come from."""

    def current(self) -> Credentials:
        """Credentials to sign with now."""
        ...


class Endpoint:
    """One AWS service in one region, spoken to in AWS's JSON protocol; for one thread."""

    def __init__(
        self,
        service: str,
        version: str,
        settings: Settings,
        keyring: Keys,
        clock: Clock | None = None,
    ) -> None:
        self._ways = Ways(service, settings)
        self._channels: dict[Way, Channel] = {}
        self._seconds = settings.connect_seconds, settings.read_seconds
        self._service, self._version, self._region = service, version, settings.region
        self._keyring, self._clock = keyring, clock

    def call(self, target: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The decoded answer.

        Raises:
            ExchangeError: no answer, or AWS refused; `kind` says which.
        """
        body = json.dumps(request).encode()
        keys = self._keyring.current()
        for way in (ways := self._ways.order()):
            channel = self._channel(way)
            try:
                status, answer = self._ask(channel, keys, target, body)
                break
            except ExchangeError as error:
                self._ways.failed(way)
                if error.kind not in NO_WAY or way == ways[-1]:
                    raise
        if self._clock:
            # A refusal tells the time as well: a request that is signed minutes off is refused.
            self._clock.heard(channel.server_date)
        try:
            decoded = json.loads(answer)
        except ValueError:
            decoded = None
        if status == _OK and isinstance(decoded, dict):
            return decoded
        raise _refusal(status, decoded if isinstance(decoded, dict) else {})

    def drop_ipv4(self) -> None:
        """Has no kept connection over IPv4 used again; from any thread."""
        for channel in list(self._channels.values()):
            channel.drop_ipv4()

    def _channel(self, way: Way) -> Channel:
        if way not in self._channels:
            self._channels[way] = Channel(way.url, *self._seconds, way.family)
        return self._channels[way]

    def _ask(
        self, channel: Channel, keys: Credentials, target: str, body: bytes
    ) -> tuple[int, bytes]:
        headers = {
            "content-type": f"application/x-amz-json-{self._version}",
            "host": channel.host,
            "x-amz-target": target,
        }
        scope = (self._region, self._service)
        headers = sign(keys, scope, headers, body, time.time())
        return channel.request("POST", "/", body, headers)


def sign(
    credentials: Credentials,
    scope: tuple[str, str],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> dict[str, str]:
    """Adds Signature Version 4 to a `POST /`; `scope` is region and service, `now` epoch seconds.

    All given headers are signed and must be in lower case, `host` among them.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    signed = {**headers, "x-amz-date": stamp}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = sorted(signed)
    lines = [f"{name}:{signed[name]}" for name in names]
    payload = hashlib.sha256(body).hexdigest()
    canonical = "\n".join(["POST", "/", "", *lines, "", ";".join(names), payload])
    credential_scope = f"{stamp[:8]}/{scope[0]}/{scope[1]}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{credential_scope}\n{digest}"
    key = f"AWS4{credentials.secret_key}".encode()
    for part in credential_scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{credential_scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return signed


def _refusal(status: int, answer: Mapping[str, Any]) -> ExchangeError:
    code = str(answer.get("__type", "")).rpartition("#")[2] or f"HTTP {status}"
    message = answer.get("message") or answer.get("Message") or ""
    if code.startswith(THROTTLED) or status == _TOO_MANY:
        kind = "throttled"
    else:
        kind = "http" if status >= _SERVER_ERROR or status == _OK else "refused"
    return ExchangeError(kind, f"{code} {message}".strip())
