"""What may stand at a place of a command line: the hidden command the shells' scripts ask.

Commands and flags come from the table and the parsers; repos, branches, commits, files,
pipelines, jobs, ingest sources and secrets from the box, with a short timeout. Whatever goes
wrong completes nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from pachybox.cli.table import commands
from pachybox.errors import PachyboxError

if TYPE_CHECKING:
    from argparse import Action

    from pachybox.client.sync import Client

_TIMEOUT_S = 2.0
_MOST = 200  # words of one kind


def complete(words: Sequence[str]) -> int:
    """``__complete WORDS -- CURRENT``: print the words that may stand there."""
    before, last = _cut(list(words))
    try:
        for word in candidates(before, last):
            sys.stdout.write(word + "\n")
    except (PachyboxError, OSError):
        pass
    return 0


def _cut(words: list[str]) -> tuple[list[str], str]:
    """What stands before, and the word being written, which may itself be ``--``."""
    if words[-2:-1] == ["--"]:
        return words[:-2], words[-1]
    if words[-1:] == ["--"]:
        return words[:-1], ""
    return words[:-1], words[-1] if words else ""


def candidates(before: Sequence[str], current: str) -> Iterator[str]:
    """What may follow ``before``, beginning with ``current``."""
    from pachybox.cli.app import find

    known = commands()
    name, rest = find(before, known)
    if not name or any(other.startswith(f"{name} ") for other in known if not rest):
        yield from _command_words(before, current, known)
    if not name:
        return
    if name == "help":
        yield from _command_words(rest, current, known)
        return
    actions = _actions(name, known)
    if current.startswith("-"):
        flags = (f for action in actions for f in action.option_strings if f.startswith("--"))
        yield from (flag for flag in flags if flag.startswith(current))
    elif name in ("config get", "config set", "config explain"):
        from pachybox.cli import settings

        yield from (word for word in settings.candidates(name, rest) if word.startswith(current))
    elif (choices := _choices(actions, rest)) is not None:
        yield from (choice for choice in choices if choice.startswith(current))
    else:
        yield from _names(name, rest, current)


def _command_words(before: Sequence[str], current: str, known: Iterable[str]) -> Iterator[str]:
    head = list(before)
    seen = set()
    for command in known:
        parts = command.split()
        if parts[: len(head)] == head and len(parts) > len(head):
            word = parts[len(head)]
            if word.startswith(current) and word not in seen:
                seen.add(word)
                yield word


def _actions(name: str, known: dict[str, tuple[str, str]]) -> list[Action]:
    """The arguments of a command that its help shows."""
    from argparse import SUPPRESS
    from importlib import import_module

    from pachybox.cli.command import build

    module, summary = known[name]
    parser = build(name, summary, import_module(f"pachybox.cli.{module}").COMMANDS[name])
    return [action for action in parser._actions if action.help != SUPPRESS]


def _choices(actions: Iterable[Action], rest: Sequence[str]) -> list[str] | None:
    """The fixed words that may follow ``rest``; None when there are none."""
    for action in actions:
        if action.choices is None:
            continue
        asked = rest[-1] in action.option_strings if rest else not action.option_strings
        if asked:
            return [str(choice) for choice in action.choices]
    return None


def _client() -> Client:
    from pachybox.client.contexts import Settings
    from pachybox.client.sync import Client

    settings = Settings.load()
    return Client(
        settings.address(),
        ca=settings.ca(),
        token=os.environ.get("PACHYBOX_TOKEN") or settings.context.get("token", ""),
        project=settings.context.get("project", "default"),
        timeout_s=_TIMEOUT_S,
    )


def _names(name: str, rest: Sequence[str], current: str) -> Iterator[str]:
    """Names from the box for the noun of a command; of pipelines after -p."""
    noun = name.split()[-1].removesuffix("V2")
    source = _NOUNS.get(noun)
    if (
        rest and rest[-1] in ("-p", "--pipeline") and noun in ("job", "logs", "commit")
    ) or name == "subscribe job":
        source = _pipelines
    elif rest and rest[-1] == "--repo":
        source = _repos
    elif rest and rest[-1] == "--ingest":
        source = _ingests
    elif name in ("start commit", "put file"):
        source = _files_of if name == "put file" and ":" in current else _branches
    elif name in ("flush commit", "flush job") or (name == "run pipeline" and _named(rest)):
        source = _branches
    if source is None or (rest and rest[-1] in ("-f", "--file", "-i", "-o", "--output")):
        return
    with _client() as box:
        yield from islice((w for w in source(box, current) if w.startswith(current)), _MOST)


def _named(rest: Sequence[str]) -> bool:
    """Whether the command's first name is there already."""
    return any(not word.startswith("-") for word in rest)


def _repos(box: Client, current: str) -> Iterator[str]:
    for info in box.list_repo(all_projects="/" in current):
        yield f"{info.project}/{info.name}" if "/" in current else info.name


def _branches(box: Client, current: str) -> Iterator[str]:
    repo, at, _ref = current.partition("@")
    if not at:
        yield from (f"{name}@" for name in _repos(box, current))
        return
    for info in box.list_branch(repo):
        yield f"{repo}@{info.name}"


def _commits(box: Client, current: str) -> Iterator[str]:
    repo, at, _ref = current.partition("@")
    yield from _branches(box, current)
    if at:
        yield from (f"{repo}@{info.id}" for info in box.list_commit(repo, number=_MOST))


def _files_of(box: Client, current: str) -> Iterator[str]:
    head, colon, path = current.partition(":")
    if not colon:
        for ref in _commits(box, current):
            yield ref if ref.endswith("@") else f"{ref}:"
        return
    folder = path[: path.rfind("/") + 1] or "/"
    for info in box.list_file(f"{head}:{folder}"):
        shown = info.path if path.startswith("/") or not path else info.path.lstrip("/")
        yield f"{head}:{shown.rstrip('/')}/" if info.is_dir else f"{head}:{shown}"


def _pipelines(box: Client, current: str) -> Iterator[str]:
    for info in box.list_pipeline():
        yield info.name


def _jobs(box: Client, current: str) -> Iterator[str]:
    pipeline, at, _id = current.partition("@")
    if not at:
        yield from (f"{name}@" for name in _pipelines(box, current))
        return
    for job in box.list_job(pipeline, number=_MOST):
        yield f"{pipeline}@{job.id}"


def _ingests(box: Client, current: str) -> Iterator[str]:
    for info in box.list_ingest(() if "/" in current else (box.project,)):
        yield info.name if "/" in current else info.name.rpartition("/")[2]


def _transactions(box: Client, current: str) -> Iterator[str]:
    for found in box.list_transaction():
        yield (found.get("transaction") or {}).get("id", "")


def _projects(box: Client, current: str) -> Iterator[str]:
    return (info.name for info in box.list_project())


def _secrets(box: Client, current: str) -> Iterator[str]:
    return (info.name for info in box.list_secret())


def _tokens(box: Client, current: str) -> Iterator[str]:
    return (token.name for token in box.list_token() if token.state == "active")


_NOUNS: dict[str, Callable[[Client, str], Iterator[str]]] = {
    "repo": _repos,
    "branch": _branches,
    "commit": _commits,
    "file": _files_of,
    "pipeline": _pipelines,
    "cron": _pipelines,
    "ingest": _ingests,
    "job": _jobs,
    "datum": _jobs,
    "transaction": _transactions,
    "project": _projects,
    "secret": _secrets,
    "token": _tokens,
}
