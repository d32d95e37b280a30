"""Specs in Git repositories: a file by HTTP from a public host, anything by the git program.

What is understood:

    github.com/OWNER/REPO/PATH[@REF]            also gitlab.com
    https://github.com/OWNER/REPO/blob/REF/PATH     (or tree/ for a directory)
    https://gitlab.com/GROUP/REPO/-/blob/REF/PATH   on any host: GitLab is known by its /-/
    git+https://HOST/REPO[@REF]#PATH            also git+http, git+ssh, git+file
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pachybox.errors import InvalidArgument

_LONGEST_S = 120.0
_LARGEST = 1 << 20
_GIT = re.compile(r"git\+((?:https?|ssh|file)://[^/#]*/[^#@]+)(?:@([^#]+))?#(.+)")
_SHORT = re.compile(r"(github\.com|gitlab\.com)/([^/]+/[^/@]+)/([^@]+?)/?(?:@(.+))?")
_GITLAB = re.compile(r"(https?://[^/]+/.+?)/-/(?:blob|tree|raw)/([^/]+)/([^?#]+)")
_GITHUB = re.compile(r"https?://github\.com/([^/]+/[^/]+)/(?:blob|tree)/([^/]+)/([^?#]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """A file or directory of a repository. ``raw`` is where a file is found by HTTP, empty where
    only git knows; ``called`` is what the user wrote."""

    repo: str
    ref: str
    path: str
    raw: str
    called: str


def parse(name: str) -> Place | None:
    """The place that ``name`` means; None when it is of none of the forms.

    PACHYBOX_GITHUB_URL and PACHYBOX_GITLAB_URL name a server of one's own in place of
    https://github.com and https://gitlab.com.
    """
    if name.startswith("git+"):
        return _by_git(name)
    if found := _SHORT.fullmatch(name):
        host, repo, path, ref = found.groups()
        return _hosted(host, repo, ref or "HEAD", path, name)
    if found := _GITHUB.fullmatch(name):
        return _hosted("github.com", found[1], found[2], found[3], name)
    if found := _GITLAB.fullmatch(name):
        project, ref, path = found.groups()
        return Place(f"{project}.git", ref, path.rstrip("/"), f"{project}/-/raw/{ref}/{path}", name)
    return None


def _by_git(name: str) -> Place:
    found = _GIT.fullmatch(name)
    if not found:
        raise InvalidArgument(
            f"{name} is not understood",
            "write git+https://HOST/REPO@REF#PATH; git+ssh and git+file are read too",
        )
    return Place(found[1], found[2] or "HEAD", found[3].strip("/"), "", name)


def _hosted(host: str, repo: str, ref: str, path: str, name: str) -> Place:
    variable = f"PACHYBOX_{host.partition('.')[0].upper()}_URL"
    base = f"{os.environ.get(variable, f'https://{host}').rstrip('/')}/{repo.removesuffix('.git')}"
    raw = f"{base}/-/raw/{ref}/{path}" if host == "gitlab.com" else f"{base}/raw/{ref}/{path}"
    return Place(f"{base}.git", ref, path.rstrip("/"), raw, name)


def read(place: Place) -> list[tuple[str, str]]:
    """(source, text) of the file there, or of each spec of the directory there, in name order.
    Raises InvalidArgument naming what the user wrote."""
    from pachybox.cli.fetch import fetch
    from pachybox.cli.spec_source import is_spec

    if place.raw and is_spec(place.path.rpartition("/")[2]):
        return [(place.called, fetch(place.raw, place.called))]
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="pachybox-git-") as folder:
        return _Fetched(folder, place).texts()


class _Fetched:
    """One commit of a repository, fetched into an empty repository of its own; no file of it is
    checked out, and of its history nothing is fetched."""

    def __init__(self, folder: str, place: Place) -> None:
        self._place = place
        self._folder = folder
        self._git("init", "--quiet", "--bare")
        self._git("remote", "add", "origin", place.repo)
        self._git("fetch", "--quiet", "--depth=1", "--no-tags", "--", "origin", place.ref)

    def texts(self) -> list[tuple[str, str]]:
        """See ``read``."""
        from pachybox.cli.spec_source import is_spec, taken

        place = self._place
        path = "" if place.path == "." else place.path.removeprefix("./")
        if path and self._found(path)[1] == "blob":
            return [(place.called, self._file(path))]
        names = []
        for line in self._git("ls-tree", "-z", f"FETCH_HEAD:{path}").split("\0"):
            about, _, name = line.partition("\t")
            if is_spec(name) and about.split()[1:2] == ["blob"]:
                names.append(name)
        taken(names, place.called)
        below = f"{path}/" if path else ""
        return [(f"{place.called}/{name}", self._file(below + name)) for name in names]

    def _found(self, path: str) -> tuple[str, str, int]:
        """(object, its type, its size) of a path, links followed."""
        how = ("cat-file", "--batch-check", "--follow-symlinks")
        said = self._git(*how, given=f"FETCH_HEAD:{path}\n").split()
        if len(said) != 3 or not said[2].isdecimal():  # "PATH missing", "dangling 12", ...
            raise InvalidArgument(
                f"cannot read {self._place.called}: there is no {path}", "check repo, ref, path"
            )
        return said[0], said[1], int(said[2])

    def _file(self, path: str) -> str:
        name, _, size = self._found(path)
        if size > _LARGEST:
            raise InvalidArgument(f"{self._place.called}: {path} is larger than 1 MiB")
        return self._git("cat-file", "blob", name)

    def _git(self, *words: str, given: str = "") -> str:
        import subprocess

        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GIT_") or "SSH" in k},
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "http:https:ssh:file",
        }
        called = self._place.called
        try:
            done = subprocess.run(
                ["git", "-C", self._folder, *words], env=env, timeout=_LONGEST_S, check=False,
                capture_output=True, input=given, text=True, encoding="utf-8",
            )  # fmt: skip
        except FileNotFoundError as e:
            raise InvalidArgument(
                f"cannot read {called}: this machine has no git program", "install git"
            ) from e
        except subprocess.TimeoutExpired as e:
            raise InvalidArgument(
                f"cannot read {called}: git did not end within {_LONGEST_S:.0f} s"
            ) from e
        except UnicodeDecodeError as e:
            raise InvalidArgument(f"{called} is not text: it is not UTF-8") from e
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            why = next((line for line in said if line.startswith("fatal:")), said[-1])
            raise InvalidArgument(f"cannot read {called}: git: {why}", "check repo, ref, path")
        return done.stdout
