"""Commands that take a spec out of the box, and back changed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, project
from pachybox.cli.output import note
from pachybox.cli.pipeline import named
from pachybox.cli.spec import read
from pachybox.client.pipelines import Pipelines
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument, NotFound, PachyboxError

_VERSIONED = re.compile(
    r"(?P<name>[^\^~.]+)(?:(?P<many>[\^]+|~+)|[\^~](?P<back>\d+)|\.(?P<at>\d+))?"
)


def version_of(box: Pipelines, text: str) -> tuple[str, int]:
    """The name and version of ``edges``, ``edges^``, ``edges~2``, ``edges.1``; 0 is the newest."""
    found = _VERSIONED.fullmatch(text)
    if not found:
        raise InvalidArgument(
            f"{text!r} is not a pipeline", "write PIPELINE, PIPELINE^ or PIPELINE.1"
        )
    name = found["name"]
    if found["at"] and int(found["at"]) == 0:
        raise NotFound(f"pipeline {name} has no version 0", f"the oldest is {name}.1")
    if found["at"]:
        return name, int(found["at"])
    back = len(found["many"] or "") + int(found["back"] or 0)
    if not back:
        return name, 0
    version = box.inspect_pipeline(name).version - back
    if version < 1:
        raise NotFound(f"pipeline {name} has no version that far back")
    return name, version


def _extract(app: App, args: Args) -> None:
    import json

    box = app.box(Pipelines)
    name, version = version_of(box, args.pipeline)
    spec = box.extract_pipeline(name, version=version)
    if args.output == "yaml":
        app.output.raw(json.loads(spec))
    else:
        app.output.line(json.dumps(json.loads(spec), indent=2, ensure_ascii=False))


def _edit(app: App, args: Args) -> None:
    import json

    box = app.box(Pipelines)

    version = box.inspect_pipeline(args.pipeline).version

    def put(text: str) -> list[str]:
        return box.create_pipelines(
            text,
            source=args.pipeline,
            update=True,
            reprocess=args.reprocess,
            if_version=version,
        )[1]

    editing(
        args,
        json.loads(box.extract_pipeline(args.pipeline, version=version)),
        args.pipeline,
        put,
        "pachybox update pipeline -f",
    )


def editing(args: Args, spec: Json, name: str, put: Callable[[str], list[str]], again: str) -> None:
    """Let the user change a spec until ``put`` takes it, and say what ``put`` warns of. A text
    that is refused in the end is kept; the error says that ``again`` and its file's name go on."""
    import json
    import tempfile

    if args.output == "yaml":
        import yaml

        text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    else:
        text = json.dumps(spec, indent=2, ensure_ascii=False) + "\n"
    suffix = ".yaml" if args.output == "yaml" else ".json"
    fd, path = tempfile.mkstemp(prefix=f"{name.rpartition('/')[2]}-", suffix=suffix)
    kept = False
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
        while True:
            edited = _run_editor(args, path)  # by name: editors often replace the file
            if edited == text or not edited.strip():
                note("unchanged" if edited == text else "empty: nothing was changed")
                return
            try:
                warnings = put(edited)
                break
            except PachyboxError as e:
                kept = True
                if not _again(e):
                    hint = f"your text is kept; correct it, then: {again} {path}"
                    raise type(e)(e.message, hint) from e
                kept = False
    finally:
        if not kept:
            os.unlink(path)  # noqa: PTH108  # pathlib costs 8 ms at start
    for warning in warnings:
        note(f"warning: {warning}")


def edited(args: Args, text: str, prefix: str, suffix: str) -> str:
    """``text`` after the user changed it. Raises InvalidArgument as the editor does."""
    import tempfile

    fd, path = tempfile.mkstemp(prefix=prefix, suffix=suffix)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
        return _run_editor(args, path)
    finally:
        os.unlink(path)  # noqa: PTH108  # pathlib costs 8 ms at start


def _run_editor(args: Args, path: str) -> str:
    """What the user made of the file. Raises InvalidArgument when the editor does not end well."""
    import shlex
    import subprocess

    editor = args.editor or os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vim"
    try:
        status = subprocess.run([*shlex.split(editor), path], check=False).returncode
    except (OSError, ValueError) as e:
        why = e.strerror if isinstance(e, OSError) else str(e)
        raise InvalidArgument(
            f"cannot start the editor {editor!r}: {why}", "set EDITOR or add --editor"
        ) from e
    if status:
        raise InvalidArgument(f"the editor ended with exit status {status}; nothing was changed")
    return read(path)


def _again(e: PachyboxError) -> bool:
    """Whether the user, when there is one, wants to go on editing."""
    import sys

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    note(" ".join(str(e).split()))
    sys.stderr.write("edit again? [Y/n] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


def _edited(parser: Parser) -> None:
    named(parser)
    parser.add_argument("--editor", metavar="CMD", help="default: $VISUAL, $EDITOR, vim")
    flag(parser, "--reprocess", help="run all datums again")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="edit in this form")


def _extracted(parser: Parser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE[^N | .N]")
    project(parser)
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="print in this form")


COMMANDS = {
    "edit pipeline": Command(
        _edited,
        _edit,
        ("edit pipeline edges --editor nano",),
        "Opens the spec in the editor; an unchanged text changes nothing. A text that is refused\n"
        "is opened again, or kept in a file that the error names. So is one whose pipeline\n"
        "somebody else has changed meanwhile.",
    ),
    "extract pipeline": Command(
        _extracted,
        _extract,
        ("extract pipeline edges", "extract pipeline edges^ | pachybox update pipeline"),
    ),
}
