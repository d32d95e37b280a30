"""Who a caller is, by what it shows.

Without a token everyone on this machine is the owner, and nothing listens beyond loopback. Once
there is one, in box.toml or made, callers on the socket are still the owner (its file is closed to
others); all the others show a token.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol

from pachybox.api.access.principal import CODE, OVER, OWNER, ROOT, Grant, Principal
from pachybox.config import Config
from pachybox.errors import Refused, Unauthenticated

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
ACCESS_KEY = "pachybox"
"""The access key of S3 that may stand for the token of box.toml."""


class Made(Protocol):
    """The tokens that were made."""

    @property
    def closed(self) -> bool:
        """Whether any was ever made (and not all were forgotten)."""
        ...

    def find(self, token: str) -> Principal | None:
        """Whose ``token`` it is, if it holds."""
        ...

    def secret(self, access_key: str) -> tuple[Principal, str] | None:
        """Whose access key of S3 it is, and the secret key that belongs to it."""
        ...


class Access:
    """Tells callers apart. Shared by all doors.

    ``token`` is that of box.toml, "" = none; ``made`` are those made; with ``remote`` the box
    listens beyond loopback, where nobody is let in without one.
    """

    def __init__(self, token: str = "", made: Made | None = None, *, remote: bool = False) -> None:
        self._token = token
        self._made = made
        self._remote = remote
        self._anyone = _anyone()
        self.code_token = f"pb_{secrets.token_urlsafe(32)}"
        """What user code of this run of the box shows; kept nowhere."""

    @property
    def closed(self) -> bool:
        """Whether callers that do not come by the socket must show a token."""
        return bool(self._token) or self._remote or (self._made is not None and self._made.closed)

    def principal(self, token: str, *, local: bool = False) -> Principal:
        """Who shows ``token`` ("": none); ``local`` when they came by the unix socket.

        Raises Unauthenticated with the texts Pachyderm's clients know.
        """
        if local:
            return OWNER
        if not self.closed:
            return self._anyone
        if not token:
            raise Unauthenticated("no authentication token (try logging in)")
        given = token.encode("utf-8", "replace")
        # in constant time, so that a token cannot be guessed by its start
        if self._token and hmac.compare_digest(given, self._token.encode()):
            return ROOT
        if hmac.compare_digest(given, self.code_token.encode()):
            return CODE
        found = self._made.find(token) if self._made is not None else None
        if found is None:
            raise Unauthenticated(OVER)
        return found

    def end_open(self) -> None:
        """Once tokens are wanted, whoever was let in without any may ask no more."""
        if self.closed:
            before, self._anyone = self._anyone, _anyone()
            assert before.grant is not None
            before.grant.over = True

    def of_headers(self, headers: Mapping[str, str], local: bool) -> Principal:
        """``principal`` of a request by its headers: ``authn-token``, or a bearer token."""
        return self.principal(token_of(headers), local=local)

    def signer(self, access_key: str) -> tuple[Principal, str] | None:
        """Whose access key of S3 it is, and the secret key that signatures are compared with.

        A token is both keys; its name (of the one in box.toml: ``pachybox``) may stand for it.
        """
        if self._token and access_key == ACCESS_KEY:
            return ROOT, self._token
        try:
            return self.principal(access_key), access_key
        except Unauthenticated:
            return self._made.secret(access_key) if self._made is not None else None


def _anyone() -> Principal:
    """Whoever is on this machine, as long as no token is wanted."""
    return Principal(OWNER.name, OWNER.role, grant=Grant())


Authenticate = Callable[[Mapping[str, str], bool], Principal]
"""(headers by lower-case name, by the unix socket) -> who it is; raises Unauthenticated."""


def token_of(headers: Mapping[str, str]) -> str:
    """The token that headers (lower-case names) show; empty when they show none."""
    token = headers.get("authn-token", "")
    bearer = headers.get("authorization", "")
    if not token and bearer[:7].lower() == "bearer ":
        token = bearer[7:].strip()
    return token


def is_remote(config: Config) -> bool:
    """Whether a box of these settings listens beyond loopback."""
    return not {config.http_host, config.grpc_host} <= LOOPBACK


def require_closed(config: Config, made: Made | None = None) -> None:
    """Refuse a box that would listen beyond loopback without a token and TLS. Raises Refused."""
    for key, host in (("http_host", config.http_host), ("grpc_host", config.grpc_host)):
        if host not in LOOPBACK and not config.token and not (made is not None and made.closed):
            raise Refused(
                f"{key} = {host!r} is reachable from other machines",
                "listen on 127.0.0.1, or make a token first: pachybox create token NAME",
            )
        if host not in LOOPBACK and not config.tls_cert:
            raise Refused(
                f"{key} = {host!r} is reachable from other machines, and what is said is in the "
                "clear",
                "make a certificate: pachybox cert; or listen on 127.0.0.1",
            )
