"""A client's side of TLS: whom it trusts, and what it says when it cannot."""

from __future__ import annotations

import socket
import ssl
from functools import lru_cache

from pachybox.client.address import Address
from pachybox.errors import InvalidArgument, Unreachable
from pachybox.tls import TlsSocket, client_context

_TRUST = "give its CA's file: PACHYBOX_CA=FILE (where the box runs: pachybox cert show)"


def encrypted(sock: socket.socket, address: Address, seconds: float) -> TlsSocket:
    """``sock``, connected to ``address``, behind TLS within ``seconds``; closed on failure.

    Raises Unreachable when the box is not the one the address names, or speaks no TLS, and
    InvalidArgument when the file of trusted certificates cannot be read.
    """
    try:
        context = _context(address.ca)
        secure = TlsSocket(sock, context, server_side=False, hostname=address.host)
        secure.handshake(seconds)
        return secure
    except InvalidArgument:
        sock.close()
        raise
    except OSError as e:
        sock.close()
        raise _untrusted(address, e) from e


@lru_cache(8)
def _context(ca: str) -> ssl.SSLContext:
    try:
        return client_context(ca)
    except OSError as e:
        why = (isinstance(e, ssl.SSLError) and "no certificate is in it") or e.strerror
        raise InvalidArgument(f"cannot read the certificates in {ca}: {why}", _TRUST) from e


_NAMES = (
    "use a name of its certificate (where the box runs: pachybox cert show), or give it this one: "
    "pachybox cert renew NAME ..."
)
_REMEDIES = {62: _NAMES, 64: _NAMES, 10: "renew it where the box runs: pachybox cert renew"}
"""By OpenSSL's code: another host name, another address, expired."""


def _untrusted(address: Address, error: OSError) -> Unreachable:
    where = f"the box at {address}"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        hint = _REMEDIES.get(error.verify_code, _TRUST)
        return Unreachable(f"{where} cannot be trusted: {why}", hint)
    if isinstance(error, ssl.SSLError):
        return Unreachable(
            f"{where} speaks no TLS that is known here: {error.reason or error}",
            "if it has no certificate, use http://",
        )
    return Unreachable(f"{where} does not answer: {error}", "see there: pachybox status")
