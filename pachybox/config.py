"""Settings of one box: read once from ``box.toml`` and the environment, then frozen.

The environment wins over the file. Nothing here creates anything on disk.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from pachybox.errors import InvalidArgument

RUNNERS = ("auto", "process", "podman", "kubernetes")


def default_home() -> Path:
    """The data directory: $PACHYBOX_HOME, else pachybox in $XDG_DATA_HOME or ~/.local/share."""
    if home := os.environ.get("PACHYBOX_HOME"):
        return Path(home).absolute()
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base).absolute() / "pachybox"


@dataclass(frozen=True, slots=True)
class Config:
    """One box's settings. Sizes in bytes, times in seconds.

    ``http_port`` and ``grpc_port`` 0 mean any free port. With a ``token`` every caller but those
    on the socket must show it, and only with one may a host be other than loopback.
    The disk's marks are in percent as ``df`` shows them, 0 = never: from ``disk_warn_percent`` on
    the box warns, from ``disk_pause_percent`` on ingest sources and crons are held, from
    ``disk_refuse_percent`` on writes are refused; so they are when fewer than ``reserve_bytes``
    are free (0 = the percentage alone). ``quota_bytes`` bounds the content store (0 = no bound).
    ``workers`` bounds the datums running at once in the whole box (0 = the cores).
    ``retention_interval_s``: old commits are looked for no more often. ``s3_domain`` is a name
    before which a bucket may stand in S3 addresses (``bucket.localhost`` always may).
    """

    home: Path
    http_host: str = "127.0.0.1"
    http_port: int = 30600
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 30650
    token: str = field(default="", repr=False)
    runner: str = "auto"
    disk_warn_percent: int = 85
    disk_pause_percent: int = 92
    disk_refuse_percent: int = 95
    reserve_bytes: int = 0
    quota_bytes: int = 0
    workers: int = 0
    gc_interval_s: int = 3600
    retention_interval_s: int = 10
    log_level: str = "info"
    s3_domain: str = "localhost"

    @property
    def socket(self) -> Path:
        """Where the box listens for local clients."""
        return self.home / "run" / "box.sock"

    @property
    def pid_file(self) -> Path:
        """Holds the daemon's pid and the lock on the data directory."""
        return self.home / "run" / "box.pid"

    @property
    def key_file(self) -> Path:
        """The key that secrets are encrypted with; made with the first of them."""
        return self.home / "secret.key"

    @property
    def log_file(self) -> Path:
        """The daemon's own log."""
        return self.home / "run" / "box.log"


MARKS = ("disk_warn_percent", "disk_pause_percent", "disk_refuse_percent")
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_KEYS = {f.name: f.type for f in fields(Config) if f.name != "home"}


def load(home: Path | None = None) -> Config:
    """Read the settings of the box at ``home``.

    Raises InvalidArgument naming the file, the key and the nearest known key when
    ``box.toml`` cannot be read, has an unknown key or a value of the wrong type.
    """
    home = home or default_home()
    path = home / "box.toml"
    values: dict[str, object] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
            raise InvalidArgument(f"cannot read {path}: {e}", "mend or remove the file") from e
    for key, value in values.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            raise InvalidArgument(
                f"{path}: unknown setting {key!r}",
                f"did you mean {near[0]!r}" if near else f"known: {', '.join(_KEYS)}",
            )
        wanted = int if str(_KEYS[key]) == "int" else str
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise InvalidArgument(f"{path}: {key} must be {wanted.__name__}, not {value!r}")
        if isinstance(value, int) and not 0 <= value <= (
            65535 if key.endswith("_port") else 1 << 62
        ):
            raise InvalidArgument(f"{path}: {key} cannot be {value}", "give 0 for the default")
    _check_marks(path, values)
    if values.get("token") and path.stat().st_mode & 0o077:
        raise InvalidArgument(
            f"{path} holds a token and others may read it", f"close it: chmod 600 {path}"
        )
    if runner := os.environ.get("PACHYBOX_RUNNER"):
        values["runner"] = runner
    if values.get("runner", "auto") not in RUNNERS:
        raise InvalidArgument(
            f"runner {values['runner']!r} is not known", f"use one of {', '.join(RUNNERS)}"
        )
    domain = values.get("s3_domain")
    if domain is not None and not _DOMAIN.fullmatch(str(domain)):
        raise InvalidArgument(
            f"{path}: s3_domain {domain!r} is no host name", "give one like s3.example.org"
        )
    return Config(home=home, **values)  # type: ignore[arg-type]  # types checked above


def _check_marks(path: Path, values: dict[str, object]) -> None:
    """Raise InvalidArgument unless the disk's marks are percentages, each at most the next."""
    low = ""
    for key in MARKS:
        mark = _mark(key, values)
        if mark > 100:
            raise InvalidArgument(
                f"{path}: {key} cannot be {mark}", "give a percentage, or 0 for never"
            )
        if not mark:
            continue
        if low and mark < _mark(low, values):
            raise InvalidArgument(
                f"{path}: {key} ({mark}) is below {low} ({_mark(low, values)})",
                f"set them in this order: {' <= '.join(MARKS)}; 0 is never",
            )
        low = key


def _mark(key: str, values: dict[str, object]) -> int:
    return int(str(values.get(key, Config.__dataclass_fields__[key].default)))
