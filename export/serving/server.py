"""The server: one thread per connection, GET and HEAD of a fixed list of files, with ranges and hashes.

Every answer isolates its page from other sites (COOP and COEP), without which a browser gives WebAssembly no threads.
"""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from export.serving.address import Place
from export.serving.content import Served
from export.serving.ranges import Unsatisfiable, chosen_range
from mobile_diffusion.errors import ConfigError

logger = logging.getLogger(__name__)

CHUNK = 1 << 18
SECONDS = 60.0
"""Time that a connection may be silent."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""With every answer.  A copy in a cache may be used once its hash has been confirmed (no-cache)."""


class FileServer(ThreadingHTTPServer):
    """Listens, and knows what it has."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, where: Place, content: Mapping[str, Served]) -> None:
        self.address_family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        self.content = content
        try:
            super().__init__((where.host, where.port), FileHandler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"serve: expected to listen on {where.host}, port {where.port}, got: {reason}; "
                "choose another --port or --host"
            ) from error
        self.place = Place(where.host, self.server_port, where.token)

    def server_bind(self) -> None:
        """Bind, without asking the network for this computer's name as http.server does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""
        logger.debug("%s: the connection ended", client_address, exc_info=True)


class FileHandler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mobile-diffusion", ""
    timeout: ClassVar[float] = SECONDS
    server: FileServer

    def do_GET(self) -> None:
        """Send a file, or the part of it that is asked for."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Send what would come with a file."""
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Log what http.server prints."""
        logger.debug(format, *args)

    def end_headers(self) -> None:
        """Add what every answer has."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def _answer(self, body: bool) -> None:
        if not self.server.place.allows(self.headers["Host"]):
            self.send_error(HTTPStatus.FORBIDDEN, "expected this computer's own name in the address")
            return
        found = self._find()
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND, "nothing is here; open the address that the terminal shows")
            return
        try:
            self._send(found, body)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _find(self) -> Served | None:
        """The file of the request's path, which begins with the token where there is one."""
        path = unquote(urlsplit(self.path).path, errors="replace")
        prefix = self.server.place.prefix
        if not hmac.compare_digest(path[: len(prefix)].encode(), prefix.encode()):
            return None
        return self.server.content.get(path[len(prefix) :])

    def _send(self, found: Served, body: bool) -> None:
        tag = f'"{found.sha256}"'
        if tag in (self.headers["If-None-Match"] or ""):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.send_header("ETag", tag)
            self.end_headers()
            return
        try:
            stream = found.path.open("rb")
        except OSError:
            self.send_error(HTTPStatus.GONE, "the file has been removed; start the server again")
            return
        with stream:
            size = stream.seek(0, 2)
            asked = self.headers["Range"] if self.headers["If-Range"] in (None, tag) else None
            try:
                part = chosen_range(asked, size)
            except Unsatisfiable:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start, end = part or (0, size)
            self.send_response(HTTPStatus.OK if part is None else HTTPStatus.PARTIAL_CONTENT)
            if part is not None:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.send_header("Content-Type", found.kind)
            self.send_header("Content-Length", str(end - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", tag)
            self.end_headers()
            stream.seek(start)
            left = end - start if body else 0
            while left > 0 and (chunk := stream.read(min(CHUNK, left))):
                self.wfile.write(chunk)
                left -= len(chunk)
            if left > 0:
                self.close_connection = True  # the file became shorter: the client sees an end in the middle
