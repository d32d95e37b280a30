"""The box's certificate and key: read at the start, and again when the files change."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pachybox.config import Config
from pachybox.errors import Refused

log = logging.getLogger("pachybox.api")

_LOOK_S = 1.0
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; 1.3 has good ones alone
_REMEDY = "give a certificate and its key in PEM, or make them: pachybox cert"

_State = tuple[tuple[int, int, int], ...]


def of_config(config: Config) -> Certificates | None:
    """Those that ``tls_cert`` and ``tls_key`` name, None when they are not set. Raises Refused."""
    if not config.tls_cert:
        return None
    return Certificates(*config.tls_files)


class Certificates:
    """A certificate with its key. Safe from many threads.

    New connections use new files within a second of their change; files that do not belong
    together, as in the middle of a renewal, are told to the log and the last good ones stay.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises Refused when they cannot be used, naming the file and the remedy."""
        self._cert, self._key = cert, key
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._seen = self._state()
        self._context, self._pair = self._load()

    def context(self) -> ssl.SSLContext:
        """What a new connection is encrypted by."""
        self._look()
        return self._context

    def pair(self) -> tuple[bytes, bytes]:
        """The key and the certificate with its chain, in PEM."""
        self._look()
        return self._pair

    def changes(self) -> Callable[[], tuple[bytes, bytes] | None]:
        """A function that returns the pair when it is another than at its last call."""
        last = self._pair

        def changed() -> tuple[bytes, bytes] | None:
            nonlocal last
            now = self.pair()
            if now is last:
                return None
            last = now
            return now

        return changed

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_S or not self._lock.acquire(blocking=False):
            return  # perf: most connections look at nothing
        try:
            self._looked = now
            state = self._state()
            if state == self._seen:
                return
            self._context, self._pair = self._load()
            self._seen = state
            log.info("the certificate was read again file=%s", self._cert)
        except Refused as e:
            log.warning("the certificate was not read again, the last one stays: %s", e)
        finally:
            self._lock.release()

    def _state(self) -> _State:
        try:
            found = [path.stat() for path in (self._cert, self._key)]
        except OSError as e:
            raise Refused(f"cannot read {e.filename}: {e.strerror}", _REMEDY) from None
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def _load(self) -> tuple[ssl.SSLContext, tuple[bytes, bytes]]:
        if self._key.stat().st_mode & 0o007:
            raise Refused(
                f"{self._key} is readable by everyone on this machine",
                f"close it: chmod 600 {self._key}",
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        try:
            pair = self._key.read_bytes(), self._cert.read_bytes()
            # a key under a password must not be asked for on the terminal
            context.load_cert_chain(self._cert, self._key, password=lambda: b"")
        except OSError as e:
            why = (isinstance(e, ssl.SSLError) and e.reason) or e.strerror or str(e)
            raise Refused(
                f"cannot use certificate {self._cert} with key {self._key}: {why}", _REMEDY
            ) from None
        return context, pair
