"""The doors: ports, who can reach them, their certificate."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.config import Config
from pachybox.doctor.codes import found
from pachybox.model.units import format_span
from pachybox.pps.runners.base import Finding

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
_SOON = timedelta(days=30)
_RENEW = "renew it: pachybox cert renew, or ask who signed it"


def findings(config: Config, *, running: bool) -> Iterator[Finding]:
    """What there is to say of the doors; ``running``: they are this box's own and open."""
    if not running:
        yield from _port("HTTP", config.http_host, config.http_port)
        yield from _port("gRPC", config.grpc_host, config.grpc_port)
    yield _reach(config, running)
    if config.tls_cert:
        yield certificate(*config.tls_files)


def _port(door: str, host: str, port: int) -> Iterator[Finding]:
    if not port:
        return
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((bare, port))
    except OSError as e:
        thing = f"{port} ({door})"
        if e.errno == errno.EADDRINUSE:
            remedy = f"end it, or take another: pachybox config set {door.lower()}_port N"
            yield found("PB401", "fail", f"taken by {holder(port)}", remedy, thing=thing)
        else:
            remedy = f"set {door.lower()}_host to an address of this machine"
            text = f"cannot listen on {host}: {e.strerror or e}"
            yield found("PB401", "fail", text, remedy, thing=thing)
        return
    yield found("PB401", "ok", f"free on {host}", thing=f"{port} ({door})")


def holder(port: int) -> str:
    """The process that listens on ``port``, as far as it can be seen from here."""
    inodes = set(_listening(port))
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if any(_leads_to(fd) in inodes for fd in (process / "fd").iterdir()):
                name = (process / "comm").read_text().strip()
                return f"process {process.name} ({name})"
        except OSError:  # another user's, or gone
            continue
    return "a process of another user"


def _leads_to(fd: Path) -> str:
    try:
        return os.readlink(fd)  # noqa: PTH115  # socket:[...] is no path
    except OSError:  # closed meanwhile, as the one that lists them
        return ""


def _listening(port: int) -> Iterator[str]:
    """The sockets that listen on ``port``, as /proc/PID/fd names them."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"


def _reach(config: Config, running: bool) -> Finding:
    hosts = {config.http_host, config.grpc_host} - set(_LOOPBACK)
    if not hosts:
        return found("PB402", "ok", "this machine alone")
    where = f"the box listens on {' and '.join(sorted(hosts))}"
    if not config.tls_cert:
        remedy = "make a certificate: pachybox cert; or listen on 127.0.0.1"
        return found("PB402", "fail", f"{where}, and has no certificate", remedy)
    if not config.token and not running:
        text = f"{where}, which takes a token, and box.toml has none"
        remedy = "none is needed where create token made one; else: pachybox config set token -"
        return found("PB402", "warn", text, remedy)
    return found("PB402", "ok", f"{where}, with TLS and tokens")


def certificate(path: Path, key: Path) -> Finding:
    """What there is to say of a certificate and its key, both PEM files."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        one = load_pem_x509_certificate(path.read_bytes())
        private = load_pem_private_key(key.read_bytes(), password=None)
        closed = not key.stat().st_mode & 0o077
    except OSError as e:
        text = f"{e.filename} cannot be read: {e.strerror}"
        return found("PB403", "fail", text, "have the files readable for the user of the box")
    except (ValueError, TypeError):  # TypeError: the key has a password
        text = f"{path} and {key} are no certificate and its key without a password"
        return found("PB403", "fail", text, "give both as PEM")
    if private.public_key() != one.public_key():
        text = f"{key} is not the key of {path}"
        return found("PB403", "fail", text, "give the key that belongs to the certificate")
    if not closed:
        return found("PB403", "warn", f"others may read {key}", f"run: chmod 600 {key}")
    return _lifetime(path, one)


def _lifetime(path: Path, one: Certificate) -> Finding:
    now = datetime.now(UTC)
    ends, begins = one.not_valid_after_utc, one.not_valid_before_utc
    day = f"{ends:%Y-%m-%d}"
    if ends <= now:
        return found("PB403", "fail", f"{path} is over since {day}", _RENEW)
    if begins > now:
        remedy = "set the clock of this machine right, or wait"
        return found("PB403", "fail", f"{path} begins at {begins:%Y-%m-%d %H:%M} UTC", remedy)
    left = format_span((ends - now).total_seconds())
    if ends - now < _SOON:
        return found("PB403", "warn", f"{path} ends in {left} ({day})", _RENEW)
    return found("PB403", "ok", f"{path} ends in {left} ({day})")
