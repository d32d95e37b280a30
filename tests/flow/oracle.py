"""Pipelines whose result a few lines of Python can foretell, whatever their input is.

The program of each is ``PROGRAM``: every datum writes one file that says which files the datum
had, what they held, and which version of the pipeline ran it (its *tag*).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

Files = Mapping[str, str]  # name -> text of every file at the top of a commit
Inputs = Mapping[str, Files | None]  # by repo; None: there is no commit
Datum = tuple[tuple[str, str], ...]  # (repo, path) of every matched thing, sorted

PROGRAM = """\
echo "$TAG $PACH_JOB_ID" >> "$RUNS/$PACH_DATUM_ID"
out=o
for name in $NAMES; do
  [ -d "/pfs/$name" ] || continue
  out="$out-$name"
  case " $WHOLE " in *" $name "*) out="$out.all"; continue;; esac
  for f in /pfs/$name/*; do [ ! -f "$f" ] || out="$out.${f##*/}"; done
done
[ -z "$SAME" ] || out=same
for name in $NAMES; do
  for f in /pfs/$name/*; do
    [ -f "$f" ] || continue
    while IFS= read -r line; do
      case $line in *bad*) [ -n "$TOLERANT" ] || exit 3;; *slow*) sleep 0.05;; esac
      printf '%s|%s|%s\\n' "$TAG" "${f#/pfs/}" "$line"
    done < "$f"
  done
done > "/pfs/out/$out"
"""


@dataclass(frozen=True)
class Leaf:
    """One input: the branch of a repo, called like the repo."""

    repo: str
    branch: str = "master"
    glob: str = "/*"

    def spec(self, more: Mapping[str, str]) -> dict[str, Any]:
        """As a pipeline spec writes it."""
        return {"pfs": {"repo": self.repo, "branch": self.branch, "glob": self.glob, **more}}


@dataclass(frozen=True)
class Plan:
    """One version of a pipeline. ``kind`` is pfs, or how two leaves are brought together: cross,
    union, join (by the digits of a name), group (by its letter); the last two want leaves whose
    files are called like ``a0``."""

    tag: str
    kind: str
    leaves: tuple[Leaf, ...]
    tolerant: bool = False  # lines with "bad" are no error
    recover: bool = False  # what fails is recovered by an err_cmd
    same: bool = False  # every datum writes the same path
    tries: int = 1

    def spec(self, name: str, runs: Path) -> str:
        """The spec of it; each execution leaves a line in ``runs``/<datum id>."""
        more: dict[str, str] = {}
        if self.kind == "join":
            more = {"glob": "/{a,b}(*)", "join_on": "$1"}
        elif self.kind == "group":
            more = {"glob": "/(a|b)*", "group_by": "$1"}
        parts = [leaf.spec(more) for leaf in self.leaves]
        env = {
            "LC_ALL": "C",
            "RUNS": str(runs),
            "TAG": self.tag,
            "NAMES": " ".join(leaf.repo for leaf in self.leaves),
            "WHOLE": " ".join(leaf.repo for leaf in self.leaves if leaf.glob == "/"),
            "SAME": "yes" if self.same else "",
            "TOLERANT": "yes" if self.tolerant else "",
        }
        recover = {"err_cmd": ["true"]} if self.recover else {}
        return json.dumps(
            {
                "pipeline": {"name": name},
                "input": parts[0] if self.kind == "pfs" else {self.kind: parts},
                "transform": {"cmd": ["sh"], "stdin": PROGRAM.splitlines(), "env": env, **recover},
                "datum_tries": self.tries,
                "parallelism_spec": {"constant": 2},
            }
        )

    def datums(self, inputs: Inputs) -> list[Datum]:
        """The datums of it on what the repos of its leaves hold."""
        sides = [self._matched(leaf, inputs.get(leaf.repo)) for leaf in self.leaves]
        if self.kind in ("pfs", "union"):
            return [one for side in sides for one in side]
        if self.kind == "cross":
            return [_both(parts) for parts in product(*sides)]
        if self.kind == "join":
            return [
                _both(parts)
                for parts in product(*sides)
                if len({path[2:] for part in parts for _, path in part}) == 1
            ]
        assert self.kind == "group"
        every = [pair for side in sides for one in side for pair in one]
        letters = sorted({path[1] for _, path in every})
        return [tuple(sorted(p for p in every if p[1][1] == letter)) for letter in letters]

    def _matched(self, leaf: Leaf, files: Files | None) -> list[Datum]:
        if files is None:
            return []
        if leaf.glob == "/":
            return [((leaf.repo, "/"),)]
        return [((leaf.repo, f"/{name}"),) for name in sorted(files)]

    def result(self, datum: Datum, inputs: Inputs) -> tuple[str, str]:
        """Name and text of the file that a datum writes."""
        name, lines = "o", []
        for leaf in self.leaves:
            files = inputs.get(leaf.repo) or {}
            paths = [path for repo, path in datum if repo == leaf.repo]
            if not paths:
                continue
            names = sorted(files) if paths == ["/"] else sorted(p[1:] for p in paths)
            name += f"-{leaf.repo}" + (
                ".all" if paths == ["/"] else "".join(f".{n}" for n in names)
            )
            lines += [
                f"{self.tag}|{leaf.repo}/{one}|{line}\n"
                for one in names
                for line in files[one].splitlines()
            ]
        return "same" if self.same else name, "".join(lines)

    def fails(self, text: str) -> bool:
        """Whether the datum that would write ``text`` fails."""
        return "bad" in text and not self.tolerant


def _both(parts: Sequence[Datum]) -> Datum:
    return tuple(sorted(pair for part in parts for pair in part))
