"""A small authority of the box's own, and the certificate it gives the box.

``$PACHYBOX_HOME/tls``: ca.pem (what clients trust), ca.key, cert.pem (with the chain) and key.pem.
The authority stays when the certificate is renewed, so that no client needs to be told.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pachybox import settings
from pachybox.config import Config
from pachybox.errors import AlreadyExists, Corrupt, InvalidArgument, NotFound, Refused

FOLDER, CERT, KEY, CA, CA_KEY = "tls", "cert.pem", "key.pem", "ca.pem", "ca.key"
MOST_DAYS = 825
"""Browsers and some systems trust no certificate for longer."""

_CA_DAYS = 3650
_EARLY = timedelta(hours=1)  # for clients whose clock is behind
_REMEDY = "make them anew: pachybox cert --force"


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to know of a certificate. ``ca`` is the file clients trust, "" when it is
    not the box's own."""

    file: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    issuer: str
    sha256: str
    ca: str

    @property
    def days_left(self) -> int:
        """Whole days for which it is still good; negative when it is over."""
        return (self.not_after - datetime.now(UTC)).days

    @property
    def raw(self) -> dict[str, object]:
        """As scripts read it."""
        return {
            "file": self.file,
            "names": list(self.names),
            "notBefore": self.not_before.isoformat(),
            "notAfter": self.not_after.isoformat(),
            "daysLeft": self.days_left,
            "issuer": self.issuer,
            "sha256": self.sha256,
            "ca": self.ca,
        }


def own_names() -> list[str]:
    """What this machine is called and where it is: names, then addresses, loopback's too."""
    host = socket.gethostname()
    names = ["localhost", host, socket.getfqdn()]
    addresses = ["127.0.0.1", "::1"]
    try:
        addresses += [str(found[4][0]) for found in socket.getaddrinfo(host, None)]
    except OSError:
        pass  # a name that leads nowhere
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        try:
            towards.connect(("192.0.2.1", 9))  # sends nothing: the route says who we are
            addresses.append(towards.getsockname()[0])
        except OSError:
            pass  # no network
    return list(dict.fromkeys(n for n in (*names, *addresses) if "%" not in n))


def make(home: Path, names: Sequence[str], days: int, *, force: bool = False) -> Shown:
    """Make the authority and a certificate for ``names``, good for ``days``.

    Raises AlreadyExists unless ``force``, InvalidArgument on names and days that cannot be.
    """
    folder = home / FOLDER
    if not force and (folder / CERT).exists():
        raise AlreadyExists(
            f"{folder} holds a certificate", "renew it: pachybox cert renew, or add --force"
        )
    _check(names, days)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)  # where this is what makes it
    folder.mkdir(exist_ok=True, mode=0o700)
    above = home.stat()
    fd = _opened(folder)
    try:
        os.fchmod(fd, 0o700)
        _give(fd, above)
    finally:
        os.close(fd)
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(key)
    _write(folder / CA_KEY, _pem(key))
    _write(folder / CA, ca.public_bytes(Encoding.PEM))
    return _issue(folder, ca, key, names, days)


def renew(home: Path, names: Sequence[str], days: int) -> Shown:
    """A new certificate and key from the same authority; ``names`` empty: those of the old one.

    Raises NotFound when the box has no authority, Corrupt when its files cannot be read.
    """
    folder = home / FOLDER
    if not (folder / CA_KEY).exists():
        raise NotFound(
            f"no authority of the box is in {folder}",
            "who signed the certificate renews it; or make one: pachybox cert",
        )
    names = names or show(folder / CERT).names
    _check(names, days)
    try:
        key = load_pem_private_key((folder / CA_KEY).read_bytes(), None)
        ca = _load(folder / CA)
    except (OSError, ValueError, TypeError) as e:
        raise Corrupt(f"the authority in {folder} cannot be read: {e}", _REMEDY) from e
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != ca.public_key():
        raise Corrupt(f"{CA_KEY} in {folder} is not the key of {CA}", _REMEDY)
    return _issue(folder, ca, key, names, days)


def show(file: Path, ca: Path | None = None) -> Shown:
    """What the certificate in ``file`` says; ``ca`` when it is from the box's own authority.

    Raises NotFound, Corrupt.
    """
    try:
        found = _load(file)
    except FileNotFoundError:
        raise NotFound(f"{file} is not there", "make one: pachybox cert") from None
    except (OSError, ValueError) as e:
        raise Corrupt(f"{file} holds no certificate: {e}", _REMEDY) from e
    own = ca is not None and ca.exists() and _load(ca).subject == found.issuer
    return Shown(
        str(file),
        _names(found),
        found.not_valid_before_utc,
        found.not_valid_after_utc,
        found.issuer.rfc4514_string(),
        found.fingerprint(hashes.SHA256()).hex(":").upper(),
        str(ca) if own else "",
    )


def settle(config: Config) -> bool:
    """Have ``box.toml`` name the files in ``tls``; False when it does already. Raises as
    ``settings.change``."""
    return settings.change(
        config.home, {"tls_cert": f"{FOLDER}/{CERT}", "tls_key": f"{FOLDER}/{KEY}"}
    )


def _check(names: Sequence[str], days: int) -> None:
    if not 1 <= days <= MOST_DAYS:
        raise InvalidArgument(f"{days} days cannot be", f"give 1 to {MOST_DAYS}")
    for name in names:
        _general(name)
    if not names:
        raise InvalidArgument("a certificate without names is good for nobody", "give some")


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name.strip("[]")))
    except ValueError:
        pass
    labels = name.removeprefix("*.").split(".")
    if len(name) > 253 or not all(
        0 < len(part) < 64 and part.isascii() and part.replace("-", "").replace("_", "").isalnum()
        for part in labels
    ):
        raise InvalidArgument(f"{name!r} is neither a host's name nor an address", "check it")
    return x509.DNSName(name)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # the host's name tells the authorities of several boxes apart
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "pachybox"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"box on {socket.gethostname()}"[:64]),
        ]
    )
    now = datetime.now(UTC)
    return (
        _begun(subject, subject, key, now, now + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _issue(
    folder: Path,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    days: int,
) -> Shown:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    until = min(now + timedelta(days=days) - _EARLY, ca.not_valid_after_utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    cert = (
        _begun(subject, ca.subject, key, now, until)
        .add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    # crash: between the two the pair does not match, and a box that runs keeps its last one
    _write(folder / KEY, _pem(key))
    chain = cert.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM)
    _write(folder / CERT, chain)
    return show(folder / CERT, folder / CA)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(until)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(cert: x509.Certificate) -> tuple[str, ...]:
    try:
        found = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(one.value) for one in found if isinstance(one, (x509.DNSName, x509.IPAddress)))


def _load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _opened(folder: Path) -> int:
    """The directory's descriptor. Raises Refused when it is a link: root would follow it to where
    whoever owns the directory around it could not write."""
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as e:
        raise Refused(f"{folder} is no directory", "remove it, then run this again") from e


def _give(fd: int, above: os.stat_result) -> None:
    """What root makes belongs to whoever the directory around it belongs to: the box, which may
    run as another user."""
    if os.geteuid() == 0:
        os.fchown(fd, above.st_uid, above.st_gid)


def _write(path: Path, data: bytes) -> None:
    """Replace a file, atomically and durably; nobody else could read it at any moment."""
    new = f".{path.name}.{os.getpid()}"
    folder = _opened(path.parent)
    try:
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(new, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o600)
            _give(file.fileno(), os.fstat(folder))
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)
