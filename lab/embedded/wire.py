"""How AWS's protocols look on the wire: who calls what, and how an error is written.

Pure functions over requests and bytes; no sockets and no moto in here.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_PREFIX = "LOCALKEY-"
"""An access key id is this and the principal's name, so that the journal knows who called."""

_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_SERVICE_NAMES = {"monitoring": "cloudwatch"}
"""The signing name where it differs from the name that people and IAM use."""
_LAMBDA_ROUTES = (
    ("POST", re.compile(r"^/2015-03-31/functions/(?P<name>[^/]+)/invocations/?$"), "Invoke"),
    ("GET", re.compile(r"^/2015-03-31/functions/(?P<name>[^/]+)/configuration/?$"),
     "GetFunctionConfiguration"),
)  # fmt: skip
_PRINCIPAL = re.compile(r"^[A-Za-z0-9_-]+$")


class WireError(Exception):
    """An answer that is an AWS error."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One AWS API call as it arrived."""

    principal: str
    service: str
    operation: str
    protocol: str
    """ec2, query, json, rest-json or cbor."""
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    region: str
    resource: str = ""
    """For Lambda: the function's name from the path."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """One answer, ready to be sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def access_key_id(principal: str) -> str:
    """Return the access key id of a principal.

    Raises:
        ValueError: The name holds something other than letters, digits, "-" and "_".
    """
    if not _PRINCIPAL.match(principal):
        raise ValueError(f"principal {principal!r} is not letters, digits, '-' and '_'")
    return KEY_PREFIX + principal


def parse_request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Tell who calls which operation. `headers` must have lower-case names.

    Raises:
        WireError: Unsigned, signed with a key that is not ours, or a protocol we do not know.
    """
    scope = _CREDENTIAL.search(headers.get("authorization", ""))
    if not scope or not scope[1].startswith(KEY_PREFIX):
        raise WireError(
            "UnrecognizedClientException",
            "The embedded AWS takes only requests signed with an access key that it gave out.",
            403,
        )
    signing_name = scope[3]
    service = _SERVICE_NAMES.get(signing_name, signing_name)
    protocol, operation, resource = _operation(service, method, path, headers, body)
    return Request(
        principal=scope[1].removeprefix(KEY_PREFIX),
        service=service,
        operation=operation,
        protocol=protocol,
        method=method,
        path=path,
        headers=headers,
        body=body,
        region=scope[2],
        resource=resource,
    )


def guess_protocol(headers: Mapping[str, str]) -> str:
    """Tell how an error must be written for a request that could not be read."""
    if headers.get("smithy-protocol") == "rpc-v2-cbor":
        return "cbor"
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return "ec2" if "/ec2/" in headers.get("authorization", "") else "query"
    return "json"


def _operation(
    service: str, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, str, str]:
    if target := headers.get("x-amz-target"):
        return "json", target.rpartition(".")[2], ""
    if headers.get("smithy-protocol") == "rpc-v2-cbor":
        return "cbor", path.rpartition("/")[2], ""
    if service == "lambda":
        for verb, pattern, operation in _LAMBDA_ROUTES:
            found = pattern.match(path.partition("?")[0])
            if found and verb == method:
                return "rest-json", operation, unquote(found["name"])
        return "rest-json", f"{method} {path}", ""
    action = parse_qs(body.decode("utf-8", "replace")).get("Action")
    if action:
        return ("ec2" if service == "ec2" else "query"), action[0], ""
    raise WireError("UnknownOperationException", f"{service}: {method} {path} names no operation")


def error_reply(protocol: str, code: str, message: str, status: int) -> Reply:
    """Write an error as the protocol's clients expect it."""
    request_id = str(uuid.uuid4())
    code_xml, text_xml = escape(code), escape(message)
    if protocol == "ec2":
        body = (
            f"<Response><Errors><Error><Code>{code_xml}</Code><Message>{text_xml}</Message></Error>"
            f"</Errors><RequestID>{request_id}</RequestID></Response>"
        )
        return Reply(status, {"Content-Type": "text/xml"}, body.encode())
    if protocol == "query":
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code_xml}</Code><Message>{text_xml}"
            f"</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return Reply(status, {"Content-Type": "text/xml"}, body.encode())
    if protocol == "cbor":
        pairs = (("__type", code), ("message", message))
        cbor = b"\xa2" + b"".join(_cbor_text(text) for pair in pairs for text in pair)
        headers = {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}
        return Reply(status, headers, cbor)
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "x-amzn-ErrorType": code,
        "x-amzn-RequestId": request_id,
    }
    return Reply(status, headers, json.dumps({"__type": code, "message": message}).encode())


def _cbor_text(text: str) -> bytes:
    """Encode one CBOR text string of at most 65,535 bytes (RFC 8949, major type 3)."""
    raw = text.encode()
    return b"\x79" + len(raw).to_bytes(2, "big") + raw


def outcome_of(reply: Reply) -> str:
    """Tell "ok" or the error code of an answer, whatever the protocol."""
    if reply.status < 300:  # noqa: PLR2004
        if reply.headers.get("X-Amz-Function-Error"):
            return "FunctionError"
        failed = re.search(rb'"FailedEntryCount": ?([1-9]\d*)', reply.body)
        return f"partial:{failed[1].decode()}" if failed else "ok"
    text = reply.body.decode("utf-8", "replace")
    found = re.search(r"<Code>([^<]+)</Code>", text) or re.search(r'"__type": ?"([^"]+)"', text)
    if found:
        return found[1].rpartition("#")[2]
    return reply.headers.get("x-amzn-ErrorType", f"HTTP {reply.status}")
