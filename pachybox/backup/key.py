"""The key of a box's secrets, wrapped by a passphrase: scrypt, then AES-256-GCM."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from pachybox.durable import sync_path
from pachybox.errors import InvalidArgument, Refused
from pachybox.store.disk import remove, write_all

LEAST = 8
"""Characters of a passphrase."""

_BOUND = b"pachybox backup key"
_N, _R, _P = 1 << 15, 8, 1
_MOST_N = 1 << 20


def wrap(key: bytes, password: str) -> dict[str, Any]:
    """The key as it may lie in a backup. Raises InvalidArgument for a passphrase too short."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(password) < LEAST:
        raise InvalidArgument(
            f"the passphrase has less than {LEAST} characters", "choose a longer one"
        )
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = AESGCM(_derived(password, salt, _N)).encrypt(nonce, key, _BOUND)
    return {"n": _N, "salt": salt.hex(), "nonce": nonce.hex(), "sealed": sealed.hex()}


def unwrap(wrapped: dict[str, Any], password: str) -> bytes:
    """The key. Raises InvalidArgument when the passphrase is another."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        n = int(wrapped["n"])
        salt, nonce, sealed = (bytes.fromhex(wrapped[name]) for name in ("salt", "nonce", "sealed"))
        if n > _MOST_N:
            raise ValueError(n)
        return AESGCM(_derived(password, salt, n)).decrypt(nonce, sealed, _BOUND)
    except (InvalidTag, KeyError, ValueError, TypeError):
        raise InvalidArgument(
            "the passphrase does not open the key in the backup",
            "give the one it was made with, or none to restore without the values of secrets",
        ) from None


def put(path: Path, key: bytes) -> None:
    """Write a box's key file, durably. Raises Refused when there is another."""
    beside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(fd, key)
            os.fsync(fd)
        finally:
            os.close(fd)
        path.hardlink_to(beside)  # unlike a rename it takes the place of no other
    except FileExistsError:
        if path.read_bytes() != key:
            raise Refused(
                f"the box has another key, {path}", "restore into a new data directory"
            ) from None
    finally:
        remove(beside)
    sync_path(path.parent)


def _derived(password: str, salt: bytes, n: int) -> bytes:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    return Scrypt(salt=salt, length=32, n=n, r=_R, p=_P).derive(password.encode())
