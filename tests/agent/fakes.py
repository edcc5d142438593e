"""A scripted stand-in for AWS, the metadata service and Pacemaker's commands around a real agent.

All of it is fake: the "arbiter" here grants and refuses as a test says, and decides nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eip_contract.envelope import parse_envelope
from eip_contract.state_item import to_attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eip_contract.report import NodeReport

ROOT = Path(__file__).parents[2]
RESOURCE_AGENT = ROOT / "node_agent/ocf/eip"
ME, PEER = "i-0aaaaaaaaaaaaaaa1", "i-0bbbbbbbbbbbbbbb2"
PUBLIC_IP = "203.0.113.7"
PARTS = "layers/contract/src", "node_agent/src"


@dataclass
class FakeRegion:
    """What the fake AWS says; tests change it while agents run."""

    holder: str | None = None
    term: int = 1
    phase: str = "settled"
    grants: bool = True
    order: dict[str, Any] | None = None
    refusal: dict[str, Any] | None = None
    known: bool = True
    peer_seq: int = 5
    resource: str = "eip"
    public_ips: list[str] = field(default_factory=list)
    answer: str = "ok"
    metadata_up: bool = True
    metadata_dates: bool = True
    aws_dates: bool = True
    ahead_of_agent: tuple[int, int] | None = None
    """The last report of this node in the table, where it is none of this agent's."""

    ahead_seconds: float = 0.0
    token: str = "token"
    told_first: list[list[str]] = field(default_factory=list)
    """What the metadata service says of public addresses before it says `public_ips`."""
    reports: list[NodeReport] = field(default_factory=list)
    reads: list[bool] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def item(self) -> dict[str, Any]:
        last = self.reports[-1] if self.reports else None
        records = {PEER: {"i": 1, "s": self.peer_seq, "n": "n2"}}
        if last is not None:
            incarnation, seq = self.ahead_of_agent or (last.incarnation, last.seq)
            records[ME] = {"i": incarnation, "s": seq, "n": "n1"}
        address = {
            "h": self.holder,
            "t": self.term,
            "p": self.phase,
            "pub": PUBLIC_IP,
            "o": self.order,
            "rf": self.refusal,
        }
        item = {"v": 1, "r": records, "a": {self.resource: address}}
        return {name: to_attribute(value) for name, value in item.items()}

    def take(self, entry: Mapping[str, Any]) -> None:
        event = {
            "id": "e",
            "account": "123456789012",
            "source": entry["Source"],
            "detail-type": entry["DetailType"],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "detail": json.loads(entry["Detail"]),
        }
        report = parse_envelope(event).report
        with self.lock:
            self.reports.append(report)
            if self.grants and report.awaiting and self.holder != report.instance_id:
                self.holder, self.term = report.instance_id, self.term + 1
                self.public_ips = [PUBLIC_IP]

    def grant(self, holder: str | None) -> None:
        with self.lock:
            self.holder, self.term = holder, self.term + 1
            self.public_ips = [PUBLIC_IP] if holder == ME else []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    region: FakeRegion

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Keeps quiet."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        dates = self.region.aws_dates if self.command == "POST" else self.region.metadata_dates
        if not dates:
            return ""
        at = time.time() if timestamp is None else timestamp
        return super().date_time_string(at + self.region.ahead_seconds)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        region, target = self.region, self.headers["X-Amz-Target"]
        if region.answer == "drop":
            self.close_connection = True
        elif region.answer == "hang":
            time.sleep(3)
        elif region.answer == "throttle":
            self._send(400, json.dumps({"__type": "x#ThrottlingException", "message": "slow"}))
        elif target.endswith("GetItem"):
            region.reads.append(request["ConsistentRead"])
            self._send(200, json.dumps({"Item": region.item()} if region.known else {}))
        elif region.answer == "reject":
            failed = {"ErrorCode": "InternalFailure", "ErrorMessage": "no"}
            self._send(200, json.dumps({"FailedEntryCount": 1, "Entries": [failed]}))
        else:
            for entry in request["Entries"]:
                region.take(entry)
            self._send(200, json.dumps({"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]}))

    def do_PUT(self) -> None:
        self._send(200 if self.region.metadata_up else 503, self.region.token)

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != self.region.token:
            return self._send(401, "")
        base = "/latest/meta-data/"
        asked = self.path.endswith("public-ipv4s")
        first = self.region.told_first.pop(0) if asked and self.region.told_first else None
        ips = "\n".join(self.region.public_ips if first is None else first)
        document = {
            "instanceId": ME,
            "region": "eu-central-1",
            "accountId": "123456789012",
            "availabilityZone": "eu-central-1a",
        }
        keys = {
            "AccessKeyId": "AK",
            "SecretAccessKey": "SK",
            "Token": "T",
            "Expiration": "2999-01-01T00:00:00Z",
        }
        answers = {
            "/latest/dynamic/instance-identity/document": json.dumps(document),
            f"{base}services/partition": "aws",
            f"{base}network/interfaces/macs/": "02:00:00:00:00:01/",
            f"{base}network/interfaces/macs/02:00:00:00:00:01/public-ipv4s": ips,
            f"{base}network/interfaces/macs/02:00:00:00:00:01/local-ipv4s": "10.0.0.10\n10.0.0.11",
            f"{base}services/domain": "amazonaws.com",
            f"{base}iam/security-credentials/": "node",
            f"{base}iam/security-credentials/node": json.dumps(keys),
        }
        if ips:
            associations = f"{base}network/interfaces/macs/02:00:00:00:00:01/ipv4-associations/"
            answers[associations] = "\n".join(f"{ip}/" for ip in ips.split())
            answers |= {f"{associations}{ip}": "10.0.0.10" for ip in ips.split()}
        if not self.region.metadata_up:
            return self._send(503, "")
        text = answers.get(self.path)
        return self._send(200 if text else 404, text or "")

    def _send(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class FakeNode:
    """A folder with a real agent's settings, fake cluster commands, and the fake AWS around it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.region = folder, FakeRegion()
        self.python = sys.executable
        handler = type("Handler", (_Handler,), {"region": self.region})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.config = folder / "agent.conf"
        self.socket = folder / "run/agent.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self.resource_state, self.peer_online = "Stopped", True
        self.peer_runs, self.peer_expected, self.start_failed = False, True, False
        self.links_up = True
        self.write_cluster()
        for name in ("crm_mon", "crm_resource", "cfgtool", "quorumtool", "attrd_updater"):
            self._command(name)
        self.write_config()

    def write_config(self, **more: object) -> None:
        values = {
            "cluster_id": "classic",
            "bus": "eip-arbiter",
            "table": "eip-arbiter",
            "endpoint_url": self.url,
            "metadata_endpoint": self.url,
            "node_name": "n1",
            "socket": self.socket,
            "state_dir": self.folder / "state",
            "calm_seconds": 3,
            "alert_seconds": 0.5,
            "claim_seconds": 0.2,
            "status_seconds": 0.5,
            "link_seconds": 0.1,
            "crm_mon": self.folder / "crm_mon",
            "crm_resource": self.folder / "crm_resource",
            "corosync_cfgtool": self.folder / "cfgtool",
            "corosync_quorumtool": self.folder / "quorumtool",
            "attrd_updater": self.folder / "attrd_updater",
            "systemctl": self.folder / "systemctl",
            **more,
        }
        lines = [f"{name} = {value}" for name, value in values.items()]
        self.config.write_text("[agent]\n" + "\n".join(lines) + "\n")

    def _command(self, name: str) -> None:
        path = self.folder / name
        noted = name in ("crm_resource", "attrd_updater")
        log = f'echo "$@" >> {self.folder}/{name}.calls' if noted else ":"
        path.write_text(f"#!/bin/sh\n{log}\n[ ! -e {path}.out ] || cat {path}.out\n")
        path.chmod(0o755)

    def write_cluster(self, **changes: Any) -> None:
        """Changes what the fake cluster commands print."""
        self.__dict__.update(changes)
        places = ['<node name="n1" id="1"/>'] if self.resource_state != "Stopped" else []
        places += ['<node name="n2" id="2"/>'] if self.peer_runs else []
        role = "Started" if self.peer_runs else self.resource_state
        failure = '<failure op_key="eip_start_0" node="n1"/>' if self.start_failed else ""
        flag = str(self.peer_online).lower()
        expected = str(self.peer_expected).lower()
        self._replace(
            "crm_mon.out",
            f"""<pacemaker-result><summary>
            <current_dc name="n1" with_quorum="true"/></summary><nodes>
            <node name="n1" id="1" online="true" expected_up="true"/>
            <node name="n2" id="2" online="{flag}" expected_up="{expected}"/></nodes>
            <resources><resource id="eip" role="{role}" failed="false">{"".join(places)}</resource>
            </resources><failures>{failure}</failures><status code="0"/></pacemaker-result>""",
        )
        reach = "reachable" if self.links_up else "not reachable"
        self._replace("cfgtool.out", f"Local node ID 1, transport knet\nnodeid: 2 {reach}\n")
        self._replace("quorumtool.out", "Flags:            2Node Quorate WaitForAll\n")

    def _replace(self, name: str, text: str) -> None:
        (self.folder / f"{name}.new").write_text(text)
        (self.folder / f"{name}.new").replace(self.folder / name)

    def environment(self) -> dict[str, str]:
        paths = ":".join(str(ROOT / part) for part in PARTS)
        return {"PATH": os.environ["PATH"], "PYTHONPATH": paths}

    def start(self) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", "eip_agent", "run", "--config", str(self.config)],
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        before = len(self.region.reports)
        wait_until(lambda: "The agent is ready" in self.log(), "the agent is ready")
        if self.region.answer == "ok":
            wait_until(lambda: len(self.region.reports) > before, "its first report arrives")

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(10)
        self.process = None
        with (self.folder / "agent.log").open("a") as log:
            log.truncate(0)
        return status

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
        self._server.shutdown()
        self._server.server_close()

    def act(self, action: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs the resource agent as Pacemaker would."""
        return subprocess.run(
            [RESOURCE_AGENT, action],
            env=self.ocf_environment() | environment,
            text=True,
            capture_output=True,
            timeout=40,
            check=False,
        )

    def ocf_environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "OCF_RESOURCE_INSTANCE": "eip",
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RESKEY_socket": str(self.socket),
            "HA_RSCTMP": str(self.folder / "rsctmp"),
            "OCF_RESKEY_CRM_meta_timeout": "20000",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
        }

    def status(self) -> dict[str, Any]:
        command = [self.python, "-m", "eip_agent", "status", "--json"]
        done = subprocess.run(
            [*command, "--config", str(self.config)],
            env=self.environment(),
            capture_output=True,
            check=True,
            timeout=20,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def calls(self, program: str = "crm_resource") -> list[str]:
        """What a program was asked for."""
        path = self.folder / f"{program}.calls"
        return path.read_text().splitlines() if path.exists() else []


def wait_until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
