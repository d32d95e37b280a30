"""Settings: whether a box starts with them, and whether it runs with them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping

from pachybox.config import SETTINGS, Config, load
from pachybox.doctor.codes import found
from pachybox.doctor.home import there
from pachybox.errors import InvalidArgument
from pachybox.pps.runners.base import Finding

_OTHERS = ("HOME", "ADDRESS", "TOKEN", "CONTEXT", "SHIM", "ISOLATION", "CACHE", "CA")
_LIKE = 0.8


def findings(config: Config, *, running: bool) -> Iterator[Finding]:
    """What is to say of the settings; ``running``: ``config`` is what a box runs with."""
    path = config.home / "box.toml"
    flags = {key: getattr(config, key) for key, of in config.origin.items() if of == "flag"}
    try:
        would = load(config.home, flags)
    except InvalidArgument as e:
        yield found("PB301", "fail", e.message, e.hint or "mend it: pachybox config explain")
    else:
        state = "can be read" if there(path) else "is not there, all is as by default"
        yield found("PB301", "ok", f"{path} {state}")
        if running:
            yield _in_force(config, would)
    if there(path) and path.stat().st_mode & 0o022:
        yield found("PB302", "warn", f"others may write {path}", f"run: chmod 600 {path}")
    yield from _misspelt(os.environ)


def _in_force(config: Config, would: Config) -> Finding:
    changed = [key for key in SETTINGS if getattr(config, key) != getattr(would, key)]
    changed += ["webhook"] if config.webhooks != would.webhooks else []
    if not changed:
        return found("PB305", "ok", "those of box.toml")
    text = f"box.toml was changed since the start: {', '.join(changed)}"
    return found(
        "PB305",
        "warn",
        text,
        "start the box again: pachybox down, pachybox up (a service: systemctl restart)",
    )


def _misspelt(environ: Mapping[str, str]) -> Iterator[Finding]:
    known = {one.variable for one in SETTINGS.values() if one.variable}
    others = {f"PACHYBOX_{name}" for name in _OTHERS}
    for name in sorted(environ):
        if not name.startswith("PACHYBOX_") or name in known | others:
            continue
        secret = SETTINGS.get(name.removeprefix("PACHYBOX_").lower())
        near = difflib.get_close_matches(name, known, 1, _LIKE)
        if secret is None and near:
            yield found("PB304", "warn", f"${name} is no setting", f"did you mean ${near[0]}?")
