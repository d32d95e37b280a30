"""The key that opens the secrets of a box."""

from __future__ import annotations

from pachybox.config import Config
from pachybox.doctor.codes import found
from pachybox.pps.runners.base import Finding

_BYTES = 32
_RESTORE = "restore it from a backup; without it, delete the secrets and create them again"


def finding(config: Config) -> Finding:
    """Whether the key is there, of a box that has secrets."""
    path = config.key_file
    try:
        key = bytes.fromhex(path.read_text())
        mode = path.stat().st_mode
    except FileNotFoundError:
        return found("PB303", "fail", f"the key of the secrets, {path}, is missing", _RESTORE)
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else "it holds no key"
        return found("PB303", "fail", f"{path} cannot be read: {why}", _RESTORE)
    if len(key) != _BYTES:
        return found("PB303", "fail", f"{path} holds no key", _RESTORE)
    if mode & 0o077:
        return found("PB303", "warn", f"others may read {path}", f"run: chmod 600 {path}")
    return found("PB303", "ok", f"{path} is there")
