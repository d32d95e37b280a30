"""What a build would see of a directory, and by what it is called."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from pachybox.containers.build import content_tag, starts
from pachybox.containers.context import Context, Ignore
from pachybox.errors import InvalidArgument


@pytest.mark.parametrize(
    ("rules", "out", "kept"),
    [
        ("*.log", ["a.log"], ["x/a.log", "a.log.txt"]),
        ("**/*.log", ["a.log", "x/a.log", "x/y/a.log"], ["a.logs"]),
        ("build", ["build", "build/a", "build/x/y"], ["src/build", "builds"]),
        ("/build/", ["build/a"], ["src/build"]),
        ("src/**/gen", ["src/gen", "src/a/b/gen/x"], ["gen"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        ("[a-c].txt", ["b.txt"], ["d.txt"]),
        ("*\n!keep", ["a", "x/y"], ["keep", "keep/x"]),
        ("*.md\n!README.md\nREADME*", ["README.md", "a.md"], []),
        ("# a\n\n  spaced  \n", ["spaced"], ["# a"]),
        ("x/*\n!x/y", ["x/a"], ["x", "x/y", "x/y/z"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("**", ["a", "b/c"], []),
        (".", [], ["a"]),
    ],
)
def test_ignore_files_say_what_they_say_to_docker(
    rules: str, out: list[str], kept: list[str]
) -> None:
    ignore = Ignore(rules)
    assert [path for path in out if not ignore.leaves_out(path)] == []
    assert [path for path in kept if ignore.leaves_out(path)] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FROM busybox\nRUN true", ["busybox"]),
        ("from scratch", []),
        ("ARG V=1\nFROM a:${V} AS one\nFROM one\nCOPY --from=one /x /\nCOPY --from=0 / /", ["a:1"]),
        ("ARG V\nFROM a:${V:-2}\nCOPY --chown=0 --from=tool:1 /x /", ["a:2", "tool:1"]),
        ("FROM --platform=linux/amd64 \\\n  # between\n  b:1 as x", ["b:1"]),
        ("# syntax=x\nARG R=r.io/\nFROM ${R}a\nFROM $R\n", ["r.io/a", "r.io/"]),
        (
            "FROM a AS x\nRUN --mount=type=cache,target=/c --mount=from=b:1,target=/b make\n"
            "RUN --mount=type=bind,from=x,target=/x echo --from=c",
            ["a", "b:1"],
        ),
        ("FROM a\nRUN python3 <<'EOF'\nfrom os import path\nEOF\nCOPY --from=b / /", ["a", "b"]),
    ],
)
def test_what_a_recipe_starts_from(text: str, found: list[str]) -> None:
    assert starts(text, {}) == found


def test_arguments_choose_what_it_starts_from() -> None:
    assert starts("ARG V=1\nFROM a:$V", {"V": "2"}) == ["a:2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / ".dockerignore").write_text("*.log\nout/*\n!out/keep\nDockerfile\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("print()\n")
    (tmp_path / "link").symlink_to("src/main.py")
    (tmp_path / "a.log").write_text("noise")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep").write_text("kept")
    (tmp_path / "out" / "gone").write_text("gone")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def tag(folder: Path, base: str = "1", **args: str) -> str:
    return content_tag(Context.at(folder), args, {"scratch": base})[0]


def test_the_tag_is_the_content(folder: Path) -> None:
    first = tag(folder)
    (folder / "a.log").write_text("more noise")
    (folder / "out" / "gone").unlink()
    os.utime(folder / "src" / "main.py", (1, 1))
    assert tag(folder) == first
    assert tag(folder, V="1") != first
    assert tag(folder, base="2") != first
    seen = {first}
    for change in (
        lambda: (folder / "src" / "main.py").write_text("print(1)\n"),
        lambda: (folder / "src" / "main.py").chmod(0o755),
        lambda: (folder / "src" / "main.py").rename(folder / "src" / "other.py"),
        lambda: (folder / "empty").mkdir(),
        lambda: (folder / "out" / "keep").write_text("also kept"),
        lambda: (folder / "Dockerfile").write_text("FROM scratch\n"),
    ):
        change()
        now = tag(folder)
        assert now not in seen
        seen.add(now)


def test_the_archive_holds_what_is_left_in_and_what_podman_needs(folder: Path) -> None:
    (folder / "src" / "twin.py").hardlink_to(folder / "src" / "main.py")
    packed = io.BytesIO()
    Context.at(folder).pack(packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        names = tar.getnames()
        assert sorted(names) == [
            ".dockerignore", "Dockerfile", "link", "out", "out/keep",
            "src", "src/main.py", "src/twin.py",
        ]  # fmt: skip
        twin = tar.extractfile("src/twin.py")
        assert twin is not None
        assert twin.read() == b"print()\n"
        assert {member.uid for member in tar} == {0}


def test_a_recipe_from_elsewhere(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    recipe = tmp_path_factory.mktemp("other") / "My.Dockerfile"
    with pytest.raises(InvalidArgument, match=r"no .*My.Dockerfile"):
        Context.at(folder, recipe)
    recipe.write_text("FROM scratch\n")
    context = Context.at(folder, recipe)
    packed = io.BytesIO()
    context.pack(packed)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        assert context.recipe_path in tar.getnames()


def test_nothing_to_build_from(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="neither a Containerfile nor a Dockerfile"):
        Context.at(tmp_path)
    with pytest.raises(InvalidArgument, match="no directory"):
        Context.at(tmp_path / "none")
    (tmp_path / "Dockerfile").write_text("a")
    (tmp_path / "Containerfile").write_text("b")
    assert Context.at(tmp_path).text == "b"
