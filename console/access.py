"""Who may look at the console, and what may change something through it. Pure.

Not here: HTTP (`web`), where the token comes from (`process`).

Without a token the console answers only under a loopback name, so that no page of the web can
reach it by a name that it points here. With one, the token opens it and a cookie keeps it open; the
cookie is derived from the token and does not contain it. What changes something must come from a
page of the console itself: by its Origin, and by a key that only such a page can know.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

COOKIE = "hearth_console"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


@dataclass(frozen=True)
class Access:
    """The rules of one console. An empty token: none is demanded."""

    token: str = field(default="", repr=False)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def cookie(self) -> str:
        """What a browser shows after it has shown the token; outlives a restart."""
        return _derive(self.token.encode(), "cookie")

    @property
    def form_key(self) -> str:
        """What a form must carry; another one after a restart."""
        return _derive(self.secret, "form")

    def opens(self, token: str) -> bool:
        """Whether this is the token."""
        return bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())

    def admits(self, host: str, cookie: str) -> bool:
        """Whether a request under this host name, with this cookie, may see anything."""
        if not self.token:
            return name_of(host) in _LOOPBACK_NAMES
        return hmac.compare_digest(cookie.encode(), self.cookie.encode())

    def believes(self, form_key: str) -> bool:
        """Whether a form was made by this console."""
        return hmac.compare_digest(form_key.encode(), self.form_key.encode())


def is_same_origin(origin: str | None, fetch_site: str | None, host: str) -> bool:
    """Whether a browser says that a request comes from a page of the same address.

    Browsers send Origin with every POST; without it nothing is known, and that is not enough.
    """
    if fetch_site not in (None, "same-origin"):
        return False
    return origin is not None and urlsplit(origin).netloc == host


def name_of(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _derive(key: bytes, purpose: str) -> str:
    return hmac.new(key, f"hearth console {purpose}".encode(), "sha256").hexdigest()
