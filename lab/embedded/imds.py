"""The instance metadata service of one node, version 2 only.

It reads everything from a JSON file, again at every request, so that it can run inside the network
namespace of a node that is cut from the embedded AWS, as the real one keeps answering there.
Standard library only, and quick to start: `python -m lab.embedded.imds --metadata FILE`.

The file holds: instance_id, account_id, region, availability_zone, local_ipv4, private_ips, mac,
interface_id, role, access_key_id, secret_access_key, and public_ips (private address -> public).
"""

from __future__ import annotations

import argparse
import http.server
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any

TOKEN_PATH = "/latest/api/token"
_TOKEN_SECONDS_LIMIT = 21_600
_TOKEN_HEADER = "X-aws-ec2-metadata-token"
_CREDENTIALS_SECONDS = 6 * 3600


def answers(facts: dict[str, Any], now: float) -> dict[str, str]:
    """Return every path under `/latest/` with its text. A path that is absent is a 404.

    Args:
        facts: The file's content.
        now: The wall clock in seconds, for the credentials' dates.
    """
    mac, role, public = facts["mac"], facts["role"], facts["public_ips"]
    interface = f"meta-data/network/interfaces/macs/{mac}"
    identity = {
        "accountId": facts["account_id"],
        "architecture": "x86_64",
        "availabilityZone": facts["availability_zone"],
        "instanceId": facts["instance_id"],
        "privateIp": facts["local_ipv4"],
        "region": facts["region"],
        "version": "2017-09-30",
    }
    credentials = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "LastUpdated": _date(now),
        "AccessKeyId": facts["access_key_id"],
        "SecretAccessKey": facts["secret_access_key"],
        "Token": "local",
        "Expiration": _date(now + _CREDENTIALS_SECONDS),
    }
    found = {
        "dynamic/instance-identity/document": json.dumps(identity, indent=1),
        "meta-data/instance-id": facts["instance_id"],
        "meta-data/local-ipv4": facts["local_ipv4"],
        "meta-data/mac": mac,
        "meta-data/network/interfaces/macs": f"{mac}/",
        "meta-data/placement/availability-zone": facts["availability_zone"],
        "meta-data/placement/region": facts["region"],
        "meta-data/services/partition": "aws",
        "meta-data/services/domain": "amazonaws.com",
        "meta-data/iam/security-credentials": role,
        f"meta-data/iam/security-credentials/{role}": json.dumps(credentials, indent=1),
        f"{interface}/device-number": "0",
        f"{interface}/interface-id": facts["interface_id"],
        f"{interface}/local-ipv4s": "\n".join(facts["private_ips"]),
        f"{interface}/mac": mac,
    }
    if public:
        found[f"{interface}/public-ipv4s"] = "\n".join(public.values())
        found[f"{interface}/ipv4-associations"] = "\n".join(f"{ip}/" for ip in public.values())
    for private_ip, public_ip in public.items():
        found[f"{interface}/ipv4-associations/{public_ip}"] = private_ip
    if facts["local_ipv4"] in public:
        found["meta-data/public-ipv4"] = public[facts["local_ipv4"]]
    found[interface] = "\n".join(
        sorted({p.removeprefix(f"{interface}/").partition("/")[0] for p in found if interface in p})
    )
    return found


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class MetadataServer(http.server.ThreadingHTTPServer):
    """Serves one node's metadata from its file."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, bind: str, port: int, metadata: Path) -> None:
        super().__init__((bind, port), _Handler)
        self.metadata = metadata
        self.tokens: dict[str, float] = {}
        """Token -> `time.monotonic()` at which it ends."""

    def server_bind(self) -> None:
        """Bind without HTTPServer's reverse name look-up, which can hang without DNS."""
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: MetadataServer

    def log_message(self, *_args: object) -> None:
        """Stay silent: a node asks every few seconds."""

    def do_PUT(self) -> None:
        """Give out a session token."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.rstrip("/") != TOKEN_PATH:
            self._send(404, "")
            return
        asked = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not asked.isdigit() or not 1 <= int(asked) <= _TOKEN_SECONDS_LIMIT:
            self._send(400, "")
            return
        token = secrets.token_urlsafe(40)
        self.server.tokens[token] = time.monotonic() + int(asked)
        self._send(200, token, {"X-aws-ec2-metadata-token-ttl-seconds": asked})

    def do_GET(self) -> None:
        """Answer from the file, to those who hold a token."""
        token = self.headers.get(_TOKEN_HEADER, "")
        if self.server.tokens.get(token, 0.0) <= time.monotonic():
            self._send(401, "")
            return
        facts = json.loads(self.server.metadata.read_text())
        path = self.path.partition("?")[0].removeprefix("/latest/").strip("/")
        text = answers(facts, time.time()).get(path)
        self._send(404, "") if text is None else self._send(200, text)

    def _send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def main() -> int:
    """Serve one node's metadata until killed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--metadata", type=Path, required=True)
    parser.add_argument("--bind", default="169.254.169.254")
    parser.add_argument("--port", type=int, default=80)
    arguments = parser.parse_args()
    with MetadataServer(arguments.bind, arguments.port, arguments.metadata) as server:
        print(f"http://{server.server_name}:{server.server_port}", flush=True)
        server.serve_forever(poll_interval=0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
