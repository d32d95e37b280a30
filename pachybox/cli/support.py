"""``support bundle``: one file for whoever looks for a fault."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser
from pachybox.cli.output import note, size
from pachybox.client.values import Json
from pachybox.durable import replacing
from pachybox.errors import InvalidArgument, PachyboxError, Refused

if TYPE_CHECKING:
    from pachybox.client import Client

_ANSWER_S = 60.0


def _bundle(app: App, args: Args) -> None:
    if args.file == "-" and sys.stdout.isatty():
        raise InvalidArgument("a bundle is no text for a terminal", "name a file, or redirect it")
    from appliance.support import Source, bundle
    from pachybox.cli import doctor
    from pachybox.client import Client

    box = app.box(Client)
    box.transport.timeout_s = _ANSWER_S
    local = box.address.local
    running = _answers(box)
    if not local and not running:
        raise Refused(f"no box answers at {box.address}", "run this on its machine")

    def findings() -> list[Json]:
        return doctor.findings() if local else list(box.doctor())

    context = app.settings.context.get("token", "")
    secrets = (context, os.environ.get("PACHYBOX_TOKEN", ""))
    config = doctor.readable_config() if local else None
    content, names = bundle(Source(config, box if running else None, findings, secrets))
    _write(args.file or f"pachybox-support-{time.strftime('%Y%m%dT%H%M%S')}.tar.gz", content)
    if args.file != "-":
        note(f"{len(names)} files, {size(len(content))}, without data and secrets; look through "
             "it before you send it")  # fmt: skip


def _answers(box: Client) -> bool:
    try:
        return box.healthy()
    except PachyboxError:
        return False


def _write(name: str, content: bytes) -> None:
    """For its owner alone, whole or not at all; the name goes to standard output."""
    if name == "-":
        sys.stdout.buffer.write(content)
        return
    path = Path(name)
    if path.is_dir():
        raise InvalidArgument(f"{path} is a directory", "name a file in it")
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as e:
        raise Refused(f"cannot write {path}: {e.strerror or e}", "name a file elsewhere") from e
    sys.stdout.write(f"{path}\n")


def _arguments(parser: Parser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="where to (default: pachybox-support-TIME.tar.gz here; - is standard output)",
    )


COMMANDS = {
    "support bundle": Command(
        _arguments,
        _bundle,
        ("support bundle", "support bundle fault.tar.gz"),
        "Versions, doctor, state, settings, metrics, events, ends of logs, specs; no content, no\n"
        "output of user code, no secrets, tokens, commands or values of variables. Works without\n"
        "a box.",
    ),
}
