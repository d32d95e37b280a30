"""What is typed after ``:``: nouns, names, a few words, and lines of the command line.

``read`` makes an order of a line; ``complete`` says how a line may go on. Both know names only
by what they are given.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tui.places import HOME, INGEST, JOB, LINEAGE, MODES, PIPELINE, REPO, Place, split

if TYPE_CHECKING:
    from pachybox.client.view_values import Summary

_HEX = re.compile(r"[0-9a-f]{4,32}")
NOUNS: Mapping[str, str] = {
    **{mode: mode for mode in MODES},
    **{f"{mode}s": mode for mode in (REPO, PIPELINE, JOB, INGEST)},
    **dict.fromkeys(("branch", "branches", "commit", "commits", "file", "files"), REPO),
    **dict.fromkeys(("datum", "datums"), JOB),
    **dict.fromkeys(("cron", "crons", "spout", "spouts"), INGEST),
}
ACTS: Mapping[str, str] = {
    "quit": "app.quit",
    "q": "app.quit",
    "exit": "app.quit",
    "help": "app.help",
    "keys": "app.help",
    "notices": "app.notices",
    "reload": "app.reload",
    "palette": "app.palette",
    "freeze": "app.freeze",
}
USAGE: Mapping[str, str] = {
    "repo": "repo [NAME[@BRANCH|@COMMIT][:/PATH]]",
    "pipeline": "pipeline [NAME]",
    "job": "job [PIPELINE@ID]",
    "ingest": "ingest [NAME]",
    "lineage": "lineage [NAME@REF[:/PATH]]",
    "logs": "logs PIPELINE[@JOB] | SOURCE [datum=ID] [since=15m]",
    "diff": "diff REPO@REF[:/PATH] [REPO@REF]",
    "new": "new pipeline",
    "edit": "edit PIPELINE",
    "box": "box [NAME]: go to another box of: pachybox config list context",
    "theme": "theme [NAME]",
    "quit": "quit",
    "help": "help: the keys of this view",
    "notices": "notices: what was said",
    "reload": "reload",
}
_READS = {
    *("list", "inspect", "get", "glob", "walk", "diff", "logs", "status", "doctor", "version"),
    *("find", "check", "validate", "draw", "events", "extract", "help"),
}
_VERBS = _READS | {
    *("create", "update", "delete", "start", "finish", "stop", "wait", "flush", "subscribe"),
    *("squash", "put", "copy", "edit", "run", "rerun", "restart", "pause", "resume", "restore"),
    *("fsck", "garbage-collect", "down", "up", "config", "connect", "ci", "dev", "watch", "tui"),
}
_ALONE = ("status", "doctor", "version", "events", "fsck", "garbage-collect")
_ATTENDED = ("edit", "dev", "watch", "ci", "up", "tui", "subscribe", "restore")


class Unclear(Exception):
    """A line that says nothing known; the text says so, and what was perhaps meant."""


@dataclass(frozen=True, slots=True)
class Names:
    """What there is at the box and here."""

    repos: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    ingests: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    branches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    boxes: tuple[str, ...] = ()
    themes: tuple[str, ...] = ()

    @property
    def things(self) -> tuple[str, ...]:
        """All that has a name at the box, each once."""
        return tuple(dict.fromkeys((*self.pipelines, *self.repos, *self.ingests)))


def names_of(summary: Summary) -> Names:
    """The names of all that a box has."""
    return Names(
        tuple(repo.name for repo in summary.repos),
        tuple(pipeline.name for pipeline in summary.pipelines),
        tuple(source.name for source in summary.ingests),
        tuple(str(job) for job in summary.jobs),
        {repo.name: repo.branches for repo in summary.repos},
    )


class Go(NamedTuple):
    """Go to a place."""

    place: Place


class Act(NamedTuple):
    """Do what a key of the app does, by its name."""

    key: str


class ToBox(NamedTuple):
    """Go to another box; "" lists them."""

    name: str


class Colours(NamedTuple):
    """Take a theme; "" lists them."""

    name: str


class Run(NamedTuple):
    """Run a command line; ``changes``: it is not known to read only."""

    words: tuple[str, ...]
    changes: bool


Order = Go | Act | ToBox | Colours | Run


def read(line: str, names: Names) -> Order:
    """What ``line`` asks for. Raises Unclear."""
    words = _words(line)
    pasted = words[:1] == ["pachybox"]
    if pasted:
        words = words[1:]
    if not words:
        return Go(Place(HOME))
    if pasted or _is_command(words):
        return _pasted(words, names)
    return _spoken(words[0], words[1:], names)


def _is_command(words: list[str]) -> bool:
    """Whether it is a command of the command line, though ``pachybox`` was not typed."""
    if words[0] not in _VERBS:
        return False
    return words[0] in _ALONE if len(words) == 1 else _is_noun(words[1])


def _words(line: str) -> list[str]:
    line = line.strip().removeprefix("$").lstrip().removeprefix(":").strip()
    try:
        return shlex.split(line)
    except ValueError:  # a quote that does not end
        return line.split()


def _is_noun(word: str) -> bool:
    return word in NOUNS or word in ("project", "secret", "transaction", "image", "defaults")


def _spoken(head: str, rest: list[str], names: Names) -> Order:
    if head in ACTS and not rest:
        return Act(ACTS[head])
    if head in ("box", "boxes"):
        return ToBox(_one_of(rest, names.boxes, "box"))
    if head in ("theme", "themes"):
        return Colours(_one_of(rest, names.themes, "theme"))
    if head in ("logs", "diff", "new", "edit"):
        return Go(_pane(head, rest, names))
    if head in NOUNS:
        mode = NOUNS[head]
        if not rest:
            return Go(Place(mode))
        name, ref, path = split(rest[0])
        return Go(Place(mode, name, ref, path))
    if rest and ":/" in head:  # a path with spaces, pasted
        return Go(place_of(" ".join([head, *rest]), names))
    if rest:
        raise Unclear(_what(f"{head} {rest[0]}", head, names))
    return Go(place_of(head, names))


def _one_of(rest: list[str], known: tuple[str, ...], noun: str) -> str:
    if rest and rest[0] not in known:
        near = difflib.get_close_matches(rest[0], known, 1, 0.4)
        tail = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        raise Unclear(f"no {noun} {rest[0]}; {tail}")
    return rest[0] if rest else ""


def _pane(head: str, rest: list[str], names: Names) -> Place:
    plain = [word for word in rest if "=" not in word]
    options = tuple((key, value) for key, _, value in (w.partition("=") for w in rest if "=" in w))
    if head == "new":
        return Place(PIPELINE, pane="new")
    if not plain or plain == ["pipeline"]:
        raise Unclear(f"{head} what? {USAGE[head]}")
    if head == "edit":
        return Place(PIPELINE, plain[-1], pane="edit")
    name, ref, path = split(plain[0])
    if head == "diff":
        return Place(REPO, name, ref, path, "diff", (*options, *(("other", w) for w in plain[1:])))
    mode = INGEST if name in names.ingests and name not in names.pipelines else JOB
    return Place(mode, name, ref, "", "logs", options)


def place_of(text: str, names: Names) -> Place:
    """The place of a name as it is written anywhere: ``repo@branch:/path``, ``pipeline@job``,
    a run's id. Raises Unclear."""
    name, ref, path = split(text)
    if path:
        return Place(REPO, name, ref or "master", path)
    if ref:
        branch = ref in names.branches.get(name, ())
        if not branch and name in names.pipelines and _HEX.fullmatch(ref):
            return Place(JOB, name, ref)
        if name in names.repos or name in names.pipelines or not names.things:
            return Place(REPO, name, ref)
    elif name in names.pipelines:
        return Place(PIPELINE, name)
    elif name in names.repos:
        return Place(REPO, name)
    elif name in names.ingests:
        return Place(INGEST, name)
    elif len(name) >= 8 and _HEX.fullmatch(name):
        for job in names.jobs:
            pipeline, _, id = job.partition("@")
            if id.startswith(name):
                return Place(JOB, pipeline, id)
    raise Unclear(_what(text, name, names))


def _what(text: str, word: str, names: Names) -> str:
    known = [*names.things, *NOUNS, *ACTS, "logs", "box", "theme", "diff", "new", "edit"]
    near = difflib.get_close_matches(word, [*known, *sorted(_VERBS)], 2, 0.6)
    tail = f"did you mean {' or '.join(near)}?" if near else "? shows the keys, : the words"
    return f"{text!r} is not known; {tail}"


# A line of the command line


def _pasted(words: list[str], names: Names) -> Order:
    verb, rest = words[0], words[1:]
    plain, flags = _flags(rest)
    if verb == "logs":
        return Go(_logs(plain, flags, names))
    noun, things = (plain[0], plain[1:]) if plain else ("", [])
    place = _shown(verb, noun.rstrip("s"), things, flags)
    if place is not None and flags.keys() <= {"p", "pipeline"}:
        return Go(place)
    if verb not in _VERBS:
        raise Unclear(_what(" ".join(words[:2]), verb, names))
    if verb in _ATTENDED:
        raise Unclear(f"{verb} wants a terminal of its own: run it in a shell (ctrl+z)")
    return Run(tuple(words), verb not in _READS)


_OF_VALUE = ("p", "pipeline", "job", "datum", "ingest", "since", "tail", "n", "project", "f", "o")


def _flags(words: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    plain: list[str] = []
    flags: dict[str, str] = {}
    wants = ""
    for word in words:
        if wants:
            flags[wants], wants = word, ""
        elif word.startswith("-") and len(word) > 1:
            name, equals, value = word.lstrip("-").partition("=")
            flags[name] = value
            wants = name if name in _OF_VALUE and not equals else ""
        else:
            plain.append(word)
    return plain, flags


def _shown(verb: str, noun: str, things: list[str], flags: Mapping[str, str]) -> Place | None:
    thing = things[0] if things else ""
    name, ref, path = split(thing)
    mode = NOUNS.get(noun)
    pipeline = flags.get("p") or flags.get("pipeline") or ""
    if (verb, noun) == ("create", "pipeline") and not flags:
        return Place(PIPELINE, pane="new")
    if (verb, noun) == ("edit", "pipeline") and thing:
        return Place(PIPELINE, name, pane="edit")
    if mode is None:
        return None
    if verb == "list":
        return Place(mode, name or pipeline, ref, path)
    if (verb, noun) == ("diff", "file") and thing:
        others = tuple(("other", other) for other in things[1:2])
        return Place(REPO, name, ref, path, "diff", others)
    if verb == "inspect" and thing and mode != LINEAGE:
        return Place(mode, name, ref, path, "", _datum(things))
    return None


def _datum(things: list[str]) -> tuple[tuple[str, str], ...]:
    return tuple(("datum", thing) for thing in things[1:2])


def _logs(plain: list[str], flags: Mapping[str, str], names: Names) -> Place:
    options = tuple((key, flags[key]) for key in ("datum", "since") if flags.get(key))
    if source := flags.get("ingest"):
        return Place(INGEST, source, "", "", "logs", options)
    text = flags.get("job") or flags.get("p") or flags.get("pipeline") or " ".join(plain[:1])
    if not text:
        raise Unclear(f"logs of what? {USAGE['logs']}")
    name, ref, _ = split(text)
    return Place(JOB, name, ref, "", "logs", options)


# How a line may go on


def complete(line: str, names: Names, limit: int = 50) -> list[str]:
    """Whole lines that begin as ``line`` does, the likeliest first."""
    head, space, tail = line.rpartition(" ")
    found = dict.fromkeys(_candidates(head.split(), names))
    low = tail.lower()
    kept = [word for word in found if word.lower().startswith(low) and word != tail]
    return [f"{head}{space}{word}" for word in kept[:limit]]


def _candidates(before: list[str], names: Names) -> Iterable[str]:
    if before[:1] == ["pachybox"]:
        before = before[1:]
    refs = [f"{repo}@{b}" for repo, branches in names.branches.items() for b in branches]
    if not before:
        return [*USAGE, *names.things, *names.jobs, *refs, *NOUNS]
    head = before[0]
    if head in _VERBS - {"diff", "logs", "edit"} and len(before) == 1:
        return ["repo", "branch", "commit", "file", "pipeline", "job", "datum", "ingest"]
    if head in ("box", "theme"):
        return names.boxes if head == "box" else names.themes
    if head == "new":
        return ["pipeline"]
    if head == "logs" and len(before) > 1:
        return ["since=1m", "since=15m", "since=1h", "datum="]
    noun = NOUNS.get(before[-1] if before[-1] in NOUNS else head, "")
    if head == "logs":
        return [*names.pipelines, *names.jobs, *names.ingests]
    if noun == PIPELINE or head == "edit":
        return names.pipelines
    if noun == JOB:
        return names.jobs
    if noun == INGEST:
        return names.ingests
    return [*names.repos, *refs]
