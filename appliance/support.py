"""``pachybox support bundle``: what is needed to look for a fault, in one file, without data and
without secrets. Works with and without a box running.

Every part is made by itself: one that cannot be had is named in ``missing.txt``.
"""

from __future__ import annotations

import base64
import io
import json
import os
import platform
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.redact import Redactor
from pachybox import __version__
from pachybox.client import Client
from pachybox.config import Config
from pachybox.errors import PachyboxError
from pachybox.settings import effective

_LOG_BYTES = 1 << 20  # of each file
_EVENTS = 5000
_USERS = ("job.", "pipeline.", "ingest.", "datum.")  # may tell what user code said
_MOST = 200  # pipelines whose specs are taken
_PROC = ("limits", "status", "cgroup", "io", "oom_score", "mountinfo")
_MACHINE = ("meminfo", "loadavg", "mounts", "pressure/cpu", "pressure/io", "pressure/memory")
_ABOUT = """\
Made by pachybox support bundle.

Inside: versions, what doctor says, state and settings of the box, metrics, the last events, the
ends of its own logs, specs of pipelines and sources, how many rows its tables have, what the
kernel says of its process and the machine.

Left out: the content of files, the output of user code, values of secrets, tokens, keys, values of
environment variables, commands of specs (but for the program's name), credentials in addresses.
Names of repos, branches, pipelines and paths are there. Look through it before you send it.
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a bundle comes from. ``box`` is None when none answers; ``config`` is None for a box
    of another machine."""

    config: Config | None
    box: Client | None
    doctor: Callable[[], Sequence[Mapping[str, Any]]]
    secrets: Sequence[str] = ()
    """Values that are known to be secret here, beside those of the settings."""


def bundle(source: Source) -> tuple[bytes, list[str]]:
    """The bundle as a tar.gz, and the names of what is in it."""
    redactor = Redactor([*source.secrets, *_secrets_of(source.config)])
    parts: dict[str, str] = {"about.txt": _ABOUT}
    missing = []
    for name, make in _parts(source, redactor):
        try:
            parts[name] = make()
        except (PachyboxError, OSError, ValueError, KeyError) as e:
            missing.append(f"{name}: {type(e).__name__}: {e}\n")
    if missing:
        parts["missing.txt"] = "".join(missing)
    clean = {name: redactor.text(text) for name, text in parts.items()}  # when all is learned
    return _packed(clean), list(clean)


def _packed(parts: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in parts.items():
            content = text.encode(errors="replace")
            info = tarfile.TarInfo(f"pachybox-support/{name}")
            info.size, info.mtime, info.mode = len(content), int(time.time()), 0o600
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _secrets_of(config: Config | None) -> Iterator[str]:
    """Secrets that this machine's files hold: none of them is to be found in a bundle."""
    if config is None:
        return
    yield config.token
    for webhook in config.webhooks:
        yield webhook.secret
        yield webhook.url.partition("://")[2].partition("/")[2]
    for path in (config.key_file, config.tls_files[1]):
        if os.access(path, os.R_OK) and path.is_file():
            yield path.read_text(errors="replace").strip()


_Part = tuple[str, Callable[[], str]]


def _parts(source: Source, redactor: Redactor) -> Iterator[_Part]:
    """Every part by name; specs first, from which the redactor learns."""
    if source.box is not None:
        yield from _of_box(source.box, redactor)
    yield "versions.json", lambda: _json(_versions(source.box))
    yield "doctor.jsonl", lambda: _lines(map(_finding, source.doctor()))
    config = source.config
    if config is not None:
        yield from _of_files(config, _pid(source.box))


# ---- the box


def _of_box(box: Client, redactor: Redactor) -> Iterator[_Part]:
    yield "specs/pipelines.jsonl", lambda: _lines(_pipelines(box, redactor))
    yield "specs/ingests.jsonl", lambda: _lines(_ingests(box, redactor))
    yield "status.json", lambda: _json(redactor.record(box.status().raw))
    yield "settings.json", lambda: _json(box.settings())
    yield "metrics.txt", lambda: _metrics(box)
    yield "events.jsonl", lambda: _lines(_events(box, redactor))
    yield "tables.json", lambda: _tables(box)


def _pipelines(box: Client, redactor: Redactor) -> Iterator[Any]:
    for number, info in enumerate(box.list_pipeline(all_projects=True)):
        if number == _MOST:
            return
        name = f"{info.project}/{info.name}"
        spec = json.loads(box.extract_pipeline(name))
        facts = {"name": name, "version": info.version, "state": info.state}
        yield {**facts, "spec": redactor.record(spec)}


def _ingests(box: Client, redactor: Redactor) -> Iterator[Any]:
    for info in box.list_ingest():
        yield redactor.record(info.raw)


def _metrics(box: Client) -> str:
    with box.transport.request("GET", "/metrics") as response:
        return response.checked().body().decode()


def _events(box: Client, redactor: Redactor) -> Iterator[Any]:
    newest = box.summary().event_seq
    for event in box.events(after=max(0, newest - _EVENTS)):
        yield {
            "seq": event.seq,
            "time": event.time.isoformat(),
            "kind": event.kind,
            "data": redactor.record(event.data) if event.kind.startswith(_USERS) else event.data,
        }


def _tables(box: Client) -> str:
    """How many rows each table has: the database's part of a dump."""
    packed = b"".join(
        base64.b64decode(piece if isinstance(piece, str) else piece.get("value", ""))
        for piece in box.stream("debug_v2.Debug", "Dump", filter={"database": True})
    )
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = tar.extractfile("database/tables.json")
        return found.read().decode() if found is not None else ""


def _pid(box: Client | None) -> int | None:
    if box is None or not box.address.local:
        return None
    try:
        return box.status().pid
    except PachyboxError:
        return None


def _finding(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is wrong with a pipeline or a source may be in words of user code."""
    if not str(found["code"]).startswith("PB7") or found["level"] == "ok":
        return found
    return {**found, "detail": "(left out)"}


# ---- the machine


def _versions(box: Client | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "pachybox": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "box": "",
    }
    release = Path("/etc/os-release")
    if release.exists():
        made["os"] = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    if box is not None:
        made["box"] = box.status().version
    return made


def _of_files(config: Config, pid: int | None) -> Iterator[_Part]:
    home = config.home
    if pid is None:
        shown = [one._asdict() for one in effective(config)]
        yield "settings.json", lambda: _json({"home": str(home), "settings": shown})
    yield "environment.txt", _variables
    for path in _logs(home / "run"):
        yield f"logs/{path.name}", lambda path=path: _tail(path)  # type: ignore[misc]
    yield "files.txt", lambda: _listing(home)
    for name in _PROC if pid is not None else ():
        yield f"proc/{name}", lambda name=name: Path("/proc", str(pid), name).read_text()  # type: ignore[misc]
    for name in _MACHINE:
        if Path("/proc", name).exists():
            yield f"machine/{name}", lambda name=name: Path("/proc", name).read_text()  # type: ignore[misc]


def _logs(run: Path) -> list[Path]:
    """The box's own logs; none that another user may not see, and no links: one of the box's user
    would have root read what that user cannot."""
    if not os.access(run, os.R_OK | os.X_OK):
        return []
    found = [path for path in sorted(run.glob("box.*")) if path.name not in ("box.sock", "box.pid")]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _variables() -> str:
    """The names of the variables that mean something to the box; values of settings are in the
    settings, others may be secret."""
    names = sorted(n for n in os.environ if n.startswith(("PACHYBOX_", "AWS_", "XDG_", "TMPDIR")))
    return "".join(f"{name}\n" for name in names)


def _tail(path: Path) -> str:
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LOG_BYTES))
        if size > _LOG_BYTES:
            file.readline()  # half a line
        return file.read().decode(errors="replace")


def _listing(home: Path) -> str:
    """What is in the data directory: mode, owner, size, time, name; not what is in the files."""
    lines = []
    for folder in (home, home / "run", home / "store"):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            facts = path.lstat()
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(facts.st_mtime))
            lines.append(
                f"{facts.st_mode:06o} {facts.st_uid}:{facts.st_gid} {facts.st_size:>14} {when} "
                f"{path.relative_to(home)}\n"
            )
    return "".join(lines)


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"


def _lines(values: Iterator[Any]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False, default=str) + "\n" for value in values)
