"""Where the server listens, and what another device types: addresses, the token in them, and a QR code."""

from __future__ import annotations

import io
import ipaddress
import secrets
import socket
from dataclasses import dataclass

from mobile_diffusion.errors import ConfigError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
TOKEN_BYTES = 9
"""72 bits of chance: 12 letters in an address."""
_ANY = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class Place:
    """A host and port to listen on."""

    host: str
    port: int
    token: str
    """First part of every path; "" on loopback, where only this computer's programs can ask."""

    @property
    def is_loopback(self) -> bool:
        """Whether no other computer reaches it."""
        return is_loopback(self.host)

    @property
    def prefix(self) -> str:
        """What every path begins with."""
        return f"/{self.token}/" if self.token else "/"

    @property
    def address(self) -> str:
        """The address of the page, as another device types it."""
        host = own_address() if self.host in _ANY else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{self.prefix}"

    def allows(self, header: str | None) -> bool:
        """Whether a request names this server in its `Host`.

        On loopback another name means that a page of another site has pointed its own name here.  Elsewhere the token
        keeps such pages out, and a device may call this computer by any name.
        """
        return not self.is_loopback or _name_of(header or "") in LOOPBACK


def place(host: str, port: int) -> Place:
    """Return a place to listen on; with a new token unless only this computer reaches it."""
    return Place(host, port, "" if is_loopback(host) else secrets.token_urlsafe(TOKEN_BYTES))


def is_loopback(host: str) -> bool:
    """Whether a host is this computer's own name for itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def own_address() -> str:
    """Return this computer's address in its network; loopback if it has none.  Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # reserved for documents; chooses the interface alone
            return str(probe.getsockname()[0])
        except OSError:
            return LOOPBACK[1]


def qr_code(text: str) -> list[str]:
    """Return a QR code as lines for a terminal; raises `ConfigError` without the package that makes it."""
    try:
        import segno
    except ModuleNotFoundError as error:
        raise ConfigError(
            "serve: expected the package segno for a QR code, got none; pip install 'mobile-diffusion[export]'"
        ) from error
    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue().splitlines()


def _name_of(header: str) -> str:
    """The host of a `Host` header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
