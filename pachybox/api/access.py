"""Who may ask: one rule for every door.

Without a token everyone on this machine is the owner, and nothing listens beyond loopback. With
one, callers on the socket are still the owner (its file is closed to others); all the others show
the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from pachybox.config import Config
from pachybox.errors import Refused, Unauthenticated

OWNER = "local"
"""The principal of whoever may ask at all."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


class Access:
    """Tells callers apart. Shared by all doors; ``token`` "" means that none is configured."""

    def __init__(self, token: str = "") -> None:
        self.token = token

    def principal(self, token: str, *, local: bool = False) -> str:
        """Who shows ``token`` ("": none); ``local`` when they came by the unix socket.

        Raises Unauthenticated with the texts Pachyderm's clients know.
        """
        if not self.token or local:
            return OWNER
        if not token:
            raise Unauthenticated("no authentication token (try logging in)")
        # in constant time, so that a token cannot be guessed by its start
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            raise Unauthenticated(
                "provided auth token is corrupted or has expired (try logging in again)"
            )
        return OWNER

    def of_headers(self, headers: Mapping[str, str], local: bool) -> str:
        """``principal`` of a request by its headers: ``authn-token``, or a bearer token."""
        return self.principal(token_of(headers), local=local)


def token_of(headers: Mapping[str, str]) -> str:
    """The token that headers (lower-case names) show; empty when they show none."""
    token = headers.get("authn-token", "")
    bearer = headers.get("authorization", "")
    if not token and bearer[:7].lower() == "bearer ":
        token = bearer[7:].strip()
    return token


def require_closed(config: Config) -> None:
    """Refuse a box that would listen beyond loopback without a token and TLS. Raises Refused."""
    for key, host in (("http_host", config.http_host), ("grpc_host", config.grpc_host)):
        if host not in LOOPBACK and not config.token:
            raise Refused(
                f"{key} = {host!r} is reachable from other machines",
                "listen on 127.0.0.1, or set a token in box.toml",
            )
        if host not in LOOPBACK and not config.tls_cert:
            raise Refused(
                f"{key} = {host!r} is reachable from other machines, and what is said is in the "
                "clear",
                "make a certificate: pachybox cert; or listen on 127.0.0.1",
            )
