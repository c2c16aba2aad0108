"""Who may open the page: this machine, or whoever knows the token; and no page of a foreign site, ever."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tutelage_core.errors import ConfigurationError

COOKIE = "tutelage_token"
LEAST_TOKEN = 16
"""Characters that a token has at least."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True)
class Access:
    """The rule of one server.

    Attributes:
        host: address that it listens at.
        port: port of it.
        token: what a visitor has to know; empty for none.
        names: other names that the machine is called by in a browser's address line.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an open door: every address but this machine's own needs a token."""
        if not 1 <= self.port <= 65535:
            raise ConfigurationError(f"port must be in 1..65535, got {self.port}")
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            raise ConfigurationError(f"host must be an IP address such as 127.0.0.1, got {self.host!r}") from None
        if self.token and (len(self.token) < LEAST_TOKEN or not self.token.isascii() or not self.token.isalnum()):
            raise ConfigurationError(f"token must have {LEAST_TOKEN} ASCII letters and digits or more")
        if not address.is_loopback and not self.token:
            raise ConfigurationError(
                f"host {self.host} can be reached from other machines: set a token of {LEAST_TOKEN} letters and "
                "digits or more, or listen at 127.0.0.1"
            )

    def objection(self, headers: Mapping[str, str], token: str) -> tuple[int, str]:
        """Say why a request is refused, with an HTTP status; (0, "") if it is not.

        Args:
            headers: of the request, names in lower case.
            token: what the visitor brings, from the address or the cookie.
        """
        authority = headers.get("host", "")
        if not self._is_ours(authority):
            return 421, f"this server is not called {authority[:64]!r}; name it in the parameter names if it is"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != authority:
            return 403, f"a page of {origin[:64]!r} may not use this server"
        if self.token and not hmac.compare_digest(token.encode(), self.token.encode()):
            return 401, "the token is missing or wrong: open the address with ?token=... at its end"
        return 0, ""

    def _is_ours(self, authority: str) -> bool:
        """Tell whether `authority` is a name of this server: a foreign name that leads here is an attack.

        Its port may be another one: people come through tunnels.
        """
        name = authority if authority.endswith("]") else authority.rpartition(":")[0] or authority
        address = ipaddress.ip_address(self.host)
        if name in self.names or name == (f"[{self.host}]" if address.version == 6 else self.host):
            return True
        if name in LOCAL_NAMES:
            return address.is_loopback or address.is_unspecified
        return address.is_unspecified and _is_address(name)


def _is_address(name: str) -> bool:
    """Tell whether a name is a bare address: no foreign site can have one of ours as its name."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
