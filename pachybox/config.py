"""Settings of one box, read once and then frozen: flags over environment over ``box.toml``.

A setting is a field of ``Config``; all that is known of it (what it means, what it may be) stands
beside it. ``pachybox config explain`` and docs/settings.md say what stands here. Nothing here
creates anything on disk.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from pachybox.client.address import data_directory
from pachybox.errors import InvalidArgument
from pachybox.model.units import parse_decimal_size, parse_duration

RUNNERS = ("auto", "process", "podman", "kubernetes")
LEVELS = ("debug", "info", "warning", "error")
MARKS = ("disk_warn_percent", "disk_pause_percent", "disk_refuse_percent")
WEBHOOK_EVENTS = ("job_failed", "job_succeeded", "disk", "ingest_late", "ingest_failed", "backup")
Value = int | str

_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
_MOST = 1 << 62


def default_home() -> Path:
    """The data directory; see ``data_directory`` of the client, which looks for the box there."""
    return Path(data_directory())


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a setting beside its name and default. ``unit``: of a number, "bytes" and
    "s" may be written with one ("2GB", "1h30m"). ``choices``: all it may be. ``hidden``: a secret,
    shown to nobody and never taken from the environment."""

    help: str
    unit: str = ""
    least: int = 0
    most: int = _MOST
    choices: tuple[str, ...] = ()
    hidden: bool = False


def _set(default: Value, help: str, **more: Any) -> Any:
    about = About(help, **more)
    return field(default=default, repr=not about.hidden, metadata={"about": about})


def _port(default: int, of: str) -> Any:
    return _set(default, f"the port of {of}; 0 is any free one", most=65535)


def _mark(default: int, what: str) -> Any:
    return _set(default, f"percent of the disk, as df shows it, at which {what}; 0 = never")


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of events (see WEBHOOK_EVENTS; none = of all). With a ``secret``
    what is sent is signed."""

    url: str
    events: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """One box's settings. Sizes in bytes, times in seconds."""

    home: Path
    http_host: str = _set("127.0.0.1", "where HTTP listens (API, S3, pages)")
    http_port: int = _port(30600, "HTTP")
    grpc_host: str = _set("127.0.0.1", "where gRPC listens")
    grpc_port: int = _port(30650, "gRPC")
    token: str = _set(
        "",
        "a token that may do everything; with one, or with tokens made by `create token`, every "
        "caller but those on the socket must show one",
        hidden=True,
    )
    tls_cert: str = _set(
        "",
        "the certificate (PEM, with its chain) of both doors, by its path from the data directory; "
        "with tls_key",
    )
    tls_key: str = _set("", "the private key (PEM) of tls_cert, readable by the box alone")
    runner: str = _set("auto", "what runs datums", choices=RUNNERS)
    kubeconfig: str = _set(
        "",
        "the file that says how the cluster of the runner kubernetes is reached; empty = the one "
        "of $KUBECONFIG, ~/.kube/config or k3s on this machine, or the account of the box's Pod",
    )
    kubernetes_context: str = _set("", "a context of the kubeconfig; empty = its current one")
    kubernetes_namespace: str = _set(
        "", "the namespace of the box's Pods; empty = that of the context, or default"
    )
    kubernetes_node: str = _set(
        "",
        "the node that is this machine; empty = the only one there is, or the one of this name or "
        "address",
    )
    kubernetes_shim_image: str = _set(
        "",
        "an image of the box, from which Pods copy the program that holds them; empty = they are "
        "shown it on this machine by its path",
    )
    workers: int = _set(0, "datums that run at once in the whole box; 0 = the cores")
    memory_bytes: int = _set(
        0, "memory the daemon plans its caches for; 0 = what machine and cgroup allow", unit="bytes"
    )
    disk_warn_percent: int = _mark(85, "the box warns")
    disk_pause_percent: int = _mark(92, "ingest sources and crons are held")
    disk_refuse_percent: int = _mark(95, "writes are refused")
    reserve_bytes: int = _set(
        0, "writes are refused when fewer bytes are free; 0 = the percentage alone", unit="bytes"
    )
    quota_bytes: int = _set(0, "bound of the content store; 0 = none", unit="bytes")
    gc_interval_s: int = _set(3600, "how often the janitor comes", unit="s", least=1)
    retention_interval_s: int = _set(
        10, "old commits are looked for no more often", unit="s", least=1
    )
    scrub_days: int = _set(30, "days in which all content is read and proven once; 0 = never")
    logs_bytes: int = _set(1 << 30, "what the logs of jobs may take", unit="bytes")
    audit_bytes: int = _set(64 << 20, "what the audit log may take", unit="bytes")
    events_kept: int = _set(1_000_000, "events that are kept", least=1000)
    url_fetch: str = _set(
        "public",
        "which addresses the box fetches from for callers that are no admins: public ones, any, "
        "none",
        choices=("public", "any", "none"),
    )
    backup_to: str = _set("", "where the box backs itself up: a directory, or s3://BUCKET/PREFIX")
    backup_schedule: str = _set("", "when: a cron expression, as `0 3 * * *`; empty = never")
    backup_keep: str = _set(
        "", "backups kept after each, as `--keep` of `backup prune`: `last 7`; empty = all"
    )
    log_level: str = _set("info", "how much the daemon's log says", choices=LEVELS)
    s3_domain: str = _set(
        "localhost",
        "a name before which a bucket may stand in S3 addresses; bucket.localhost always may",
    )
    webhooks: tuple[Webhook, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where each value came from that is not the default: by key, "box.toml", "environment" or
    "flag"."""

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
    def tls_files(self) -> tuple[Path, Path]:
        """Where tls_cert and tls_key are; sensible when they are set."""
        return self.home / self.tls_cert, self.home / self.tls_key

    @property
    def log_file(self) -> Path:
        """The daemon's own log."""
        return self.home / "run" / "box.log"

    @property
    def audit_file(self) -> Path:
        """Who did what."""
        return self.home / "logs" / "audit.log"


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of ``box.toml``."""

    key: str
    kind: type[int] | type[str]
    default: Value
    about: About

    @property
    def variable(self) -> str:
        """The environment variable that sets it; "" for secrets."""
        return "" if self.about.hidden else f"PACHYBOX_{self.key.upper()}"

    def parse(self, text: str, source: str) -> Value:
        """``text`` of a flag or the environment as a value. Raises InvalidArgument."""
        try:
            value: Value = int(text) if self.kind is int and text.isdecimal() else text
        except ValueError:  # thousands of digits
            value = text
        return self.check(value, source)

    def check(self, value: object, source: str) -> Value:
        """``value`` where it may be one, sizes and durations as numbers. Raises InvalidArgument
        naming ``source`` and the key."""
        about = self.about
        if self.kind is int and isinstance(value, str) and about.unit:
            value = self._measured(value, source)
        if not isinstance(value, self.kind) or isinstance(value, bool):
            raise InvalidArgument(
                f"{source}: {self.key} must be {self.kind.__name__}, not {value!r}"
            )
        if isinstance(value, int) and not about.least <= value <= about.most:
            most = value > about.most
            hint = f"give at most {about.most}" if most else f"give at least {about.least}"
            raise InvalidArgument(f"{source}: {self.key} cannot be {value}", hint)
        if about.choices and value not in about.choices:
            raise InvalidArgument(
                f"{source}: {self.key} {value!r} is not known",
                f"use one of {', '.join(about.choices)}",
            )
        return value

    def _measured(self, text: str, source: str) -> int:
        try:
            return (parse_decimal_size if self.about.unit == "bytes" else _seconds)(text)
        except InvalidArgument as e:
            raise InvalidArgument(f"{source}: {self.key}: {e.message}", e.hint) from None


def _seconds(text: str) -> int:
    return int(parse_duration(text))


SETTINGS: Mapping[str, Setting] = {
    f.name: Setting(f.name, str if f.type == "str" else int, f.default, f.metadata["about"])
    for f in fields(Config)
    if "about" in f.metadata and f.default is not MISSING
}


def setting(key: str, source: str = "") -> Setting:
    """The setting called ``key``. Raises InvalidArgument with the nearest name."""
    found = SETTINGS.get(key)
    if found is None:
        near = difflib.get_close_matches(key, (*SETTINGS, "webhook"), 1)
        raise InvalidArgument(
            f"{source}: unknown setting {key!r}" if source else f"unknown setting {key!r}",
            f"did you mean {near[0]!r}" if near else "see them all: pachybox config explain",
        )
    return found


class Written(NamedTuple):
    """What a ``box.toml`` says: values by key, and its webhooks."""

    values: dict[str, Value]
    webhooks: tuple[Webhook, ...]

    @property
    def secret(self) -> bool:
        """Whether it holds what nobody but the box may read."""
        hidden = any(setting(key).about.hidden and value for key, value in self.values.items())
        return hidden or any(webhook.secret for webhook in self.webhooks)


def written(path: Path, text: str) -> Written:
    """``text`` of the file ``path``. Raises InvalidArgument naming the file, the key and the
    nearest known key when it is no TOML, has an unknown key or a value that cannot be."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise InvalidArgument(f"cannot read {path}: {e}", "mend or remove the file") from e
    webhooks = _webhooks(given.pop("webhook", ()), str(path))
    values = {key: setting(key, str(path)).check(value, str(path)) for key, value in given.items()}
    return Written(values, webhooks)


def load(home: Path | None = None, flags: Mapping[str, Value] | None = None) -> Config:
    """Read the settings of the box at ``home``; ``flags`` go before all.

    Raises InvalidArgument where a file, a variable or a flag is not as it must be (see
    ``written``), or where others may read a file with secrets.
    """
    home = home or default_home()
    path = home / "box.toml"
    values, webhooks = file = written(path, _read(path))
    if file.secret and path.stat().st_mode & 0o077:
        raise InvalidArgument(
            f"{path} holds a secret and others may read it", f"close it: chmod 600 {path}"
        )
    origin = dict.fromkeys(values, "box.toml")
    for one in SETTINGS.values():
        text = os.environ.get(one.variable, "") if one.variable else ""
        if text:
            values[one.key] = one.parse(text, f"${one.variable}")
            origin[one.key] = "environment"
    for key, value in (flags or {}).items():
        values[key] = setting(key).check(value, "flag")
        origin[key] = "flag"
    check_together(path, values)
    return Config(home=home, webhooks=webhooks, origin=origin, **values)  # type: ignore[arg-type]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as e:
        raise InvalidArgument(f"cannot read {path}: {e}", "mend or remove the file") from e
    except OSError as e:
        raise InvalidArgument(
            f"cannot read {path}: {e.strerror}", "run this as the user the box runs as"
        ) from e


def _webhooks(given: object, source: str) -> tuple[Webhook, ...]:
    """The ``[[webhook]]`` tables. Raises InvalidArgument."""
    if not isinstance(given, Sequence) or not all(isinstance(one, dict) for one in given):
        raise InvalidArgument(f"{source}: webhook is no table", "write [[webhook]] above url = ...")
    return tuple(
        _webhook(one, f"{source}: webhook {number}") for number, one in enumerate(given, 1)
    )


def _webhook(given: Mapping[str, Any], source: str) -> Webhook:
    """``source`` names it in errors, by its number: its address may hold a secret."""
    for key in given:
        if key not in ("url", "events", "secret"):
            near = difflib.get_close_matches(key, ("url", "events", "secret"), 1)
            hint = f"did you mean {near[0]!r}" if near else "known: url, events, secret"
            raise InvalidArgument(f"{source} has an unknown key {key!r}", hint)
    url, events, secret = given.get("url"), given.get("events", []), given.get("secret", "")
    if not isinstance(url, str) or not _is_address(url):
        raise InvalidArgument(f"{source} needs a url", "like https://host/path")
    if not isinstance(secret, str):
        raise InvalidArgument(f"{source}: its secret is no text")
    if not isinstance(events, list) or any(one not in WEBHOOK_EVENTS for one in events):
        raise InvalidArgument(
            f"{source}: events are a list of known ones", f"known: {', '.join(WEBHOOK_EVENTS)}"
        )
    return Webhook(url, tuple(events), secret)


def _is_address(url: str) -> bool:
    """Whether HTTP can ask ``url``."""
    from urllib.parse import urlsplit  # few boxes have webhooks

    if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and (parts.path + parts.query).isascii()


def check_together(path: Path, values: Mapping[str, Value]) -> None:
    """Raise InvalidArgument naming ``path`` where values that may be do not go together."""
    _check_marks(path, values)
    for key in ("http_host", "grpc_host"):
        if (host := values.get(key)) is not None and not _listens(str(host)):
            raise InvalidArgument(
                f"{path}: {key} {host!r} is nothing to listen at",
                "give an address or a name of this machine: 127.0.0.1, or 0.0.0.0 for all of its "
                "addresses; the port is another setting",
            )
    if bool(values.get("tls_cert")) != bool(values.get("tls_key")):
        raise InvalidArgument(
            f"{path}: tls_cert and tls_key go together", "give both, or make them: pachybox cert"
        )
    domain = values.get("s3_domain")
    if domain is not None and not _DOMAIN.fullmatch(str(domain)):
        raise InvalidArgument(
            f"{path}: s3_domain {domain!r} is no host name", "give one like s3.example.org"
        )


def _listens(host: str) -> bool:
    """Whether ``host`` has the form of an address or of a host's name."""
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        return bool(ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]")))
    except ValueError:
        return False


def _check_marks(path: Path, values: Mapping[str, Value]) -> None:
    """Raise InvalidArgument unless the disk's marks are percentages, each at most the next."""
    low = ""
    for key in MARKS:
        mark = _value(key, values)
        if mark > 100:
            raise InvalidArgument(
                f"{path}: {key} cannot be {mark}", "give a percentage, or 0 for never"
            )
        if not mark:
            continue
        if low and mark < _value(low, values):
            raise InvalidArgument(
                f"{path}: {key} ({mark}) is below {low} ({_value(low, values)})",
                f"set them in this order: {' <= '.join(MARKS)}; 0 is never",
            )
        low = key


def _value(key: str, values: Mapping[str, Value]) -> int:
    return int(values.get(key, SETTINGS[key].default))
