"""TLS over a connected socket: the same for the box and for its clients.

The protocol runs on buffers in memory, so that a large read or write is few system calls, waiting
is bounded, and one thread may write while another waits for bytes. Imported only where a connection
is encrypted.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from typing import cast

Buffer = bytes | bytearray | memoryview
_READ_BYTES = 128 << 10  # of what is encrypted, at once
_WRITE_BYTES = 256 << 10
_JOINED_BYTES = 64 << 10
_BUNDLES = (  # of Debian, Fedora, SUSE, Alpine
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_QUIET_NOW = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
_HELLO = 0x16  # the first byte of every TLS connection: a record of the handshake


def greets(first: bytes) -> bool:
    """Whether a client whose first byte is ``first`` speaks TLS."""
    return first[:1] == bytes((_HELLO,))


class TlsSocket:
    """What wires and connections use of a socket, encrypted.

    ``timeout_s`` bounds each wait for the socket (None: none); ``late`` is raised past it. Whoever
    gets ``late`` or BlockingIOError from a method that writes writes the same bytes again, or
    gives the connection up. One thread reads and one writes at a time.
    """

    def __init__(
        self,
        raw: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        hostname: str | None = None,
        timeout_s: float | None = None,
        late: type[OSError] = TimeoutError,
    ) -> None:
        self._raw = raw
        self._late = late
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname
        )
        self._lock = threading.Lock()  # OpenSSL's state; nobody waits for the socket in it
        self._received = bytearray(_READ_BYTES)
        self._unsent = memoryview(b"")  # encrypted, and not taken by the socket yet
        self._owed = 0  # plain bytes that are in ``_unsent`` and were not told to be sent
        # perf: the kernel bounds the wait for bytes; a look before each would be a call more
        raw.settimeout(None)
        self.settimeout(timeout_s)

    @property
    def family(self) -> int:
        """The socket's."""
        return self._raw.family

    def getpeername(self) -> tuple[str, int]:
        """Address and port of the other end."""
        found = self._raw.getpeername()
        return str(found[0]), int(found[1])

    def fileno(self) -> int:
        """The socket's descriptor; -1 when it is closed."""
        return self._raw.fileno()

    def gettimeout(self) -> float | None:
        """Seconds a wait may take."""
        return self._timeout_s

    def settimeout(self, timeout_s: float | None) -> None:
        """Bound each wait to come."""
        self._timeout_s = timeout_s
        tick = struct.pack("ll", *divmod(int((timeout_s or 0) * 1e6), 1_000_000))
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, tick)

    def handshake(self, seconds: float) -> None:
        """Agree on keys. Raises ssl.SSLError when that cannot be, TimeoutError past ``seconds``,
        ConnectionError when the peer leaves."""
        until = time.monotonic() + seconds
        while True:
            with self._lock:
                try:
                    self._tls.do_handshake()
                    done = True
                except ssl.SSLWantReadError:
                    done = False
                except ssl.SSLError:
                    self._flush()  # the alert that tells the peer why
                    raise
                flushed = self._flush()
            if done and flushed:
                return
            left = until - time.monotonic()
            if left <= 0 or not self._ready(select.POLLIN if flushed else select.POLLOUT, left):
                raise TimeoutError("the TLS handshake takes too long")
            if flushed and not self._take(socket.MSG_DONTWAIT):
                raise ConnectionResetError("the connection ended during the TLS handshake")

    # reading

    def recv_into(self, target: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        """Some bytes into ``target``; 0 at the end. With MSG_DONTWAIT raises BlockingIOError when
        none are there, else ``late`` when none come in time."""
        view = memoryview(target)
        while True:
            with self._lock:
                n = self._decrypted(view)
                self._flush()  # what the protocol itself has to say
            if n is not None:
                return n
            if self._take(flags) is None:
                raise BlockingIOError if flags & socket.MSG_DONTWAIT else self._late("timed out")

    def _decrypted(self, view: memoryview) -> int | None:
        """Bytes into ``view``, as many as are there; 0 at the end, None when more must come."""
        got = 0
        # perf: asking what is there is ten times cheaper than being told that nothing is
        while got < len(view) and (
            self._incoming.pending or self._incoming.eof or self._tls.pending()
        ):
            try:
                # what it returns and takes is more than its type says
                n = cast(int, self._tls.read(len(view) - got, cast(bytearray, view[got:])))
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return got
            except ssl.SSLError:
                if not got:
                    raise
                break
            if not n:
                return got
            got += n
        return got or None

    def _take(self, flags: int) -> bool | None:
        """Whether the peer sent more, which is kept for decryption; None when nothing came."""
        try:
            n = self._raw.recv_into(self._received, 0, flags)
        except BlockingIOError:
            return None
        with self._lock:
            if n:
                self._incoming.write(memoryview(self._received)[:n])
            else:
                self._incoming.write_eof()
        return n > 0

    # writing

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Write some of ``data``; how many bytes. Waits as ``recv_into`` does."""
        while True:
            with self._lock:
                if not self._owed:
                    self._owed = self._encrypted(memoryview(data)[:_WRITE_BYTES])
                if self._flush():
                    sent, self._owed = self._owed, 0
                    return sent
            if flags & socket.MSG_DONTWAIT:
                raise BlockingIOError
            if not self._ready(select.POLLOUT, self._timeout_s):
                raise self._late("timed out")

    def sendall(self, data: Buffer) -> None:
        """Write all of ``data``."""
        view = memoryview(data)
        while view:
            view = view[self.send(view) :]

    def sendmsg(
        self, buffers: Sequence[Buffer], ancillary: Sequence[object] = (), flags: int = 0
    ) -> int:
        """Write some of the buffers, one after the other. Descriptors cannot go this way."""
        if ancillary:
            raise ValueError("descriptors go over a unix socket only")
        first = next((buffer for buffer in buffers if len(buffer)), b"")
        if len(first) < _JOINED_BYTES:
            first = b"".join(buffers)
        return self.send(first, flags)

    def _encrypted(self, view: memoryview) -> int:
        done = 0
        while done < len(view):
            done += self._tls.write(view[done:])
        return done

    def _flush(self) -> bool:
        """Write what is encrypted, without waiting; whether all went. Called in the lock."""
        while True:
            if not self._unsent:
                if not self._outgoing.pending:
                    return True
                self._unsent = memoryview(self._outgoing.read())
            try:
                sent = self._raw.send(self._unsent, _QUIET_NOW)
            except BlockingIOError:
                return False
            self._unsent = self._unsent[sent:]

    # the end

    def shutdown(self, how: int) -> None:
        """As a socket's. The peer is told that no more will come, so that it does not take the
        end of the connection for a cut."""
        if how != socket.SHUT_RD:
            self._take_leave()
        self._raw.shutdown(how)

    def close(self) -> None:
        """Take leave and close the socket."""
        self._take_leave()
        self._raw.close()

    def _take_leave(self) -> None:
        with self._lock:
            try:
                self._tls.unwrap()
            except (ssl.SSLError, ValueError):
                pass  # it waits for the peer's own leave, or there was no handshake
            try:
                self._flush()
            except OSError:
                pass  # it is gone

    def _ready(self, event: int, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._raw, event)
        return bool(poll.poll(None if seconds is None else seconds * 1000))


def machine_context() -> ssl.SSLContext:
    """A client's context that trusts what this machine trusts, also where OpenSSL was built for
    other paths than those of the machine."""
    context = ssl.create_default_context()
    usual = ssl.get_default_verify_paths()
    told = {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys()
    bundle = next(filter(os.path.exists, _BUNDLES), "")
    if bundle and not (told or usual.cafile or usual.capath):
        context.load_verify_locations(bundle)
    return context


def client_context(ca: str = "") -> ssl.SSLContext:
    """What a client needs to know a box: the certificates in the file ``ca`` are trusted, the
    box's own among them; "" trusts what the machine trusts. Raises OSError (ssl.SSLError when the
    file holds no certificate)."""
    if ca:
        context = ssl.create_default_context(cafile=ca)
        # the box's own certificate is as good as that of who signed it
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context = machine_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
