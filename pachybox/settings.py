"""Settings as people see and change them: what is in force and why, and ``box.toml`` rewritten.

``pachybox.config`` says what settings there are. No secret leaves this module.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from pachybox.config import SETTINGS, Config, Value, Webhook, check_together, setting, written
from pachybox.durable import cut_short, replacing
from pachybox.errors import InvalidArgument, NotFound, Refused

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

HIDDEN = "***"
"""In place of a secret that is set."""


class Effective(NamedTuple):
    """A value in force. ``origin`` is "default", "box.toml", "environment" or "flag"."""

    key: str
    value: Value
    origin: str


def effective(config: Config) -> Iterator[Effective]:
    """All values of ``config``, a secret as HIDDEN; each webhook as one with the key "webhook"."""
    for one in SETTINGS.values():
        value: Value = getattr(config, one.key)
        if one.about.hidden:
            value = HIDDEN if value else ""
        elif isinstance(value, str):
            value = without_credentials(value)
        yield Effective(one.key, value, config.origin.get(one.key, "default"))
    for webhook in config.webhooks:
        yield Effective("webhook", shown_webhook(webhook), "box.toml")


def shown_webhook(webhook: Webhook) -> str:
    """A webhook without its secrets: many services put one into the path of the address."""
    parts = urlsplit(webhook.url)
    host = parts.netloc.rpartition("@")[2]
    path = "/..." if parts.path.strip("/") or parts.query else parts.path
    signed = ", signed" if webhook.secret else ""
    return f"{parts.scheme}://{host}{path} ({', '.join(webhook.events) or 'all events'}{signed})"


def without_credentials(text: str) -> str:
    """``text`` where it is an address without what stands before ``@`` and after ``?`` in it."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    user, at, host = parts.netloc.rpartition("@")
    query = HIDDEN if parts.query else ""
    netloc = f"{HIDDEN}@{host}" if user or at else host
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


# ---- box.toml


def change(home: Path, put: Mapping[str, str], drop: Iterable[str] = ()) -> bool:
    """Write ``put`` (texts, as of flags) into ``box.toml`` of ``home`` and take ``drop`` out;
    comments, order and layout stay. Whether the file is another one now.

    The file is replaced atomically and durably, keeps its owner and mode, and is closed to others
    (0600) when it holds a secret. Raises InvalidArgument when the result would not load (nothing
    is written then), NotFound for a key of ``drop`` that is not in the file, Refused where it
    cannot be written, or where somebody else saves it meanwhile.
    """
    values = {key: _as_written(key, text) for key, text in put.items()}
    path = _place(home)
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(path.parent):
            for left in cut_short(path):  # secrets may be in it; nobody else writes now
                left.unlink()
            return _change(path, values, drop)
    except OSError as e:
        raise Refused(
            f"cannot write {path}: {e.strerror or e}", "run this as the user the box runs as"
        ) from e


def _place(home: Path) -> Path:
    """Where ``box.toml`` really lies. Raises Refused for a link that root must not follow, as the
    box's user made it."""
    path = home / "box.toml"
    if os.geteuid() == 0 and path.is_symlink() and (owner := path.lstat().st_uid) != 0:
        raise Refused(
            f"{path} is a link that user {owner} made, and root does not follow it",
            "run this as the user the box runs as, or give the link to root: chown -h root",
        )
    return Path(os.path.realpath(path))


def _as_written(key: str, text: str) -> Value:
    """A value as it is to stand in the file: ``2GB`` stays ``2GB``. Raises InvalidArgument."""
    if key == "webhook":
        raise InvalidArgument(
            "webhooks are tables, not a value",
            "write [[webhook]] and below it url = ... into box.toml; see: config explain webhook",
        )
    one = setting(key)
    parsed = one.parse(text, "config set")
    return parsed if one.kind is str or text.isdecimal() else text


def _change(path: Path, values: Mapping[str, Value], drop: Iterable[str]) -> bool:
    before = _text(path)
    document = _parsed(path, before)
    for key, value in values.items():
        document[key] = value
    for key in drop:
        if key not in document:
            raise NotFound(f"{path} does not set {key}", "see: pachybox config get")
        del document[key]
    after = document.as_string()
    found = written(path, after)
    check_together(path, found.values)
    if after != before:
        if _text(path) != before:
            raise Refused(f"{path} was saved by somebody else meanwhile", "do this again")
        _replace(path, after, secret=found.secret)
    return after != before


def _text(path: Path) -> str:
    """What stands there, the ends of its lines as they are; "" for no file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as e:
        raise InvalidArgument(f"cannot read {path}: {e}", "save it as UTF-8") from e


def _parsed(path: Path, text: str) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import ParseError

    try:
        return tomlkit.parse(text)
    except ParseError as e:
        raise InvalidArgument(f"cannot read {path}: {e}", "mend or remove the file") from e


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """With nobody else changing a file of ``folder`` in this way."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _replace(path: Path, text: str, *, secret: bool) -> None:
    mode, like = 0o600, path.parent.stat()
    if path.exists():
        like = path.stat()
        mode = 0o600 if secret else stat.S_IMODE(like.st_mode)
    own = (like.st_uid, like.st_gid) == (os.geteuid(), os.getegid())
    owner = None if own else (like.st_uid, like.st_gid)  # root changes the file of a service
    with replacing(path, mode, owner) as file:
        file.write(text.encode())


def pair(text: str) -> tuple[str, str]:
    """``KEY=VALUE`` of a flag. Raises InvalidArgument, for secrets too: a command line can be read
    by every user of the machine."""
    found = re.fullmatch(r"(\w+)=(.*)", text, re.DOTALL)
    if found is None:
        raise InvalidArgument(f"{text.partition('=')[0]!r} is not KEY=VALUE")
    if setting(found[1]).about.hidden:
        raise InvalidArgument(
            f"{found[1]} is a secret, and others can read command lines",
            f"put it into box.toml: pachybox config set {found[1]} -",
        )
    return found[1], found[2]
