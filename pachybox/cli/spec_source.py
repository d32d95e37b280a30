"""Where specs come from: files, directories, URLs, Git hosts, stdin, jsonnet templates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pachybox.cli.app import App
from pachybox.cli.command import Args, Parser, many
from pachybox.cli.spec import read
from pachybox.errors import CHECK_FILE, InvalidArgument

TEMPLATE = ".jsonnet"
ENDINGS = (".json", ".yaml", ".yml", TEMPLATE)
_MOST = 1000


@dataclass(frozen=True, slots=True)
class SpecText:
    """Specs as they were found: the text (JSON or YAML), how messages call it, and the directory
    that its relative paths start from; None when it is not of this machine."""

    text: str
    source: str
    folder: Path | None


def arguments(parser: Parser) -> None:
    """--file, --jsonnet and --arg."""
    many(
        parser, "-f", "--file", metavar="SPEC",
        help="a file, a directory of them, a URL, a path in a Git repository, or - for stdin "
        "(default); may be repeated",
    )  # fmt: skip
    parser.add_argument("--jsonnet", metavar="FILE", help="a template instead: a file, a URL, or -")
    many(parser, "--arg", metavar="KEY=VALUE", help="an argument of the templates, text")


def sources(app: App, args: Args) -> list[SpecText]:
    """What --file, --jsonnet and --arg name, templates rendered; stdin when they name nothing.
    Says on stderr which files a directory gave. Raises InvalidArgument naming what is wrong."""
    given = given_arguments(args.arg)
    if args.jsonnet and args.file:
        raise InvalidArgument("--file and --jsonnet are given together", "give one of them")
    if args.jsonnet:
        text = read(args.jsonnet)
        return [_rendered(app, SpecText(text, args.jsonnet, _folder(args.jsonnet)), given)]
    return texts(app, args.file or ["-"], given)


def texts(app: App, names: Sequence[str], given: dict[str, str]) -> list[SpecText]:
    """The specs that ``names`` lead to; ``given`` are the arguments of templates among them."""
    if names.count("-") > 1:
        raise InvalidArgument("stdin is named twice", "name it once")
    found = [one for name in names for one in _found(name)]
    templates = [one for one in found if one.source.endswith(TEMPLATE)]
    if given and not templates:
        raise InvalidArgument(
            "--arg goes with a template",
            "name one: --jsonnet FILE, or --file with a name that ends in .jsonnet",
        )
    return [_rendered(app, one, given) if one in templates else one for one in found]


def given_arguments(pairs: Sequence[str]) -> dict[str, str]:
    """The values of --arg by their names. Raises InvalidArgument for one without a name."""
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidArgument(f"--arg {pair!r} is not understood", "write --arg KEY=VALUE")
        given[name] = value
    return given


def _rendered(app: App, template: SpecText, given: dict[str, str]) -> SpecText:
    from pachybox.client.defaults import Defaults

    specs = app.box(Defaults).render_template(template.text, given)
    return SpecText(json.dumps(specs), template.source, template.folder)


def _found(name: str) -> list[SpecText]:
    """The texts at one name, templates as they are."""
    path = Path(name)
    if name == "-":
        return [SpecText(read("-"), "stdin", Path.cwd())]
    if path.is_dir():
        return _directory(path)
    if not path.exists():
        from pachybox.cli import git_source

        if (place := git_source.parse(name)) is not None:
            return [SpecText(text, source, None) for source, text in git_source.read(place)]
    return [SpecText(read(name), name, _folder(name))]


def _folder(name: str) -> Path | None:
    if name == "-":
        return Path.cwd()
    return None if "://" in name else Path(name).absolute().parent


def _directory(path: Path) -> list[SpecText]:
    try:
        files = sorted(file for file in path.iterdir() if is_spec(file.name) and file.is_file())
    except OSError as e:
        raise InvalidArgument(f"cannot read {path}: {e.strerror}", CHECK_FILE) from e
    taken([file.name for file in files], str(path))
    return [SpecText(read(str(file)), str(file), path.absolute()) for file in files]


def is_spec(name: str) -> bool:
    """Whether a file of a directory is taken for a spec, by its name."""
    return name.endswith(ENDINGS) and not name.startswith(".")


def taken(names: Sequence[str], directory: str) -> None:
    """Say which files of a directory are taken. Raises InvalidArgument for none, or too many."""
    from pachybox.cli.output import note

    if not names:
        raise InvalidArgument(
            f"{directory} holds no spec", f"the names of specs end in {', '.join(ENDINGS)}"
        )
    if len(names) > _MOST:
        raise InvalidArgument(f"{directory} holds {len(names)} specs", f"give at most {_MOST}")
    shown = names if len(names) <= 10 else [*names[:9], f"and {len(names) - 9} more"]
    note(f"specs of {directory}: {', '.join(shown)}")
