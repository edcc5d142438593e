"""The service of the lab: a web page on each node that says which node answers.

Run as `page.py NODE ADDRESS [PORT]` inside a node; `serve` and `fetch` are for the enclosure.
"""

from __future__ import annotations

import sys
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from lab.cluster.processes import NodeProcess
    from lab.cluster.real import RealCluster

PORT = 80


def serve(cluster: RealCluster, node: str) -> NodeProcess:
    """Start the page on a node; also fit to be called from `at_boot`."""
    argv = [sys.executable, str(Path(__file__).resolve()), node, cluster.address(node)]
    return cluster.spawn(node, argv, log="page.log")


def fetch(address: str, port: int = PORT, seconds: float = 1.0) -> str | None:
    """Ask who answers at an address; `None` when nobody does in time."""
    try:
        with urlopen(f"http://{address}:{port}/", timeout=seconds) as answer:
            text: bytes = answer.read()
    except (URLError, HTTPException, OSError):
        return None
    return text.decode().strip()


def _main(node: str, address: str, port: int = PORT) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"{node}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer((address, port), Page).serve_forever()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], *(int(port) for port in sys.argv[3:]))
