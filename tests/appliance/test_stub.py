"""The stub of the one file, on a small payload: unpacks once, whole, and mends what is damaged."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from appliance.binary import build
from pachybox.errors import Refused
from tests.appliance.roots import Root, bare
from tests.boxes import eventually

# What the payload runs: says what it was given, and waits when told to.
PROGRAM = """#!/bin/sh
echo "VERSION $0 $*"
[ "$3" != wait ] || read -r line
"""


def made(folder: Path, version: str, stub: bytes, content: bytes) -> Path:
    """A one file whose program is a script."""
    tree = folder / f"tree-{version}"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "pachybox").write_text(PROGRAM.replace("VERSION", version))
    (tree / "bin" / "pachybox").chmod(0o755)
    (tree / "lib" / "deep").mkdir(parents=True)
    (tree / "lib" / "deep" / "data").write_bytes(content)
    (tree / "lib" / "empty").write_bytes(b"")
    target = folder / version
    build.assemble(tree, target, 1, stub)
    return target


@pytest.fixture(scope="module")
def files(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two versions."""
    folder = tmp_path_factory.mktemp("stub")
    stub = build.stub_of(binary)
    return {
        "one": made(folder, "one", stub, bytes(range(256)) * 100_000),
        "two": made(folder, "two", stub, b"two"),
    }


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def start(file: Path, cache: Path, *words: str) -> subprocess.Popen[str]:
    env = {"PATH": os.environ["PATH"], "PACHYBOX_CACHE": str(cache)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [file, *words], env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def run(file: Path, cache: Path, *words: str) -> str:
    """What the program prints; fails when the stub does."""
    process = start(file, cache, *words)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return out


def refused(file: Path, cache: Path, *words: str) -> str:
    """What the stub says when it starts nothing."""
    process = start(file, cache, *words)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert said.startswith("pachybox: ")
    return said


def tree_of(cache: Path) -> Path:
    """The one payload in a cache."""
    [found] = [path for path in cache.iterdir() if re.fullmatch(r"[0-9a-f]{64}", path.name)]
    return found


def test_it_unpacks_once_and_passes_its_arguments_on(files: dict[str, Path], cache: Path) -> None:
    said = run(files["one"], cache, "list", "a b")
    tree = tree_of(cache)
    assert said == f"one {tree}/bin/pachybox -m pachybox.cli list a b\n"
    assert (tree / "lib" / "deep" / "data").read_bytes() == bytes(range(256)) * 100_000
    before = tree.stat().st_ino
    run(files["one"], cache)
    run(files["one"], cache, "up")
    assert tree_of(cache).stat().st_ino == before


def test_ten_first_runs_at_once(files: dict[str, Path], cache: Path) -> None:
    processes = [start(files["one"], cache, str(n)) for n in range(10)]
    for n, process in enumerate(processes):
        out, said = process.communicate(timeout=60)
        assert out.endswith(f" {n}\n"), said
    assert sorted(path.name for path in cache.iterdir()) == [".lock", tree_of(cache).name]


def test_a_killed_first_run_leaves_nothing_in_the_way(files: dict[str, Path], cache: Path) -> None:
    process = start(files["one"], cache)
    eventually(lambda: list(cache.glob(".new-*/lib")), "unpacking has begun")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert run(files["one"], cache).startswith("one ")
    assert sorted(path.name for path in cache.iterdir()) == [".lock", tree_of(cache).name]


@pytest.mark.parametrize("damage", ["missing", "longer", "touched", "manifest", "link"])
def test_a_damaged_cache_is_mended(files: dict[str, Path], cache: Path, damage: str) -> None:
    run(files["one"], cache)
    victim = tree_of(cache) / "lib" / "deep" / "data"
    if damage == "missing":
        victim.unlink()
    elif damage == "longer":
        with open(victim, "ab") as file:
            file.write(b"x")
    elif damage == "touched":
        victim.touch()
    elif damage == "link":
        victim.rename(cache / "elsewhere")
        victim.symlink_to(cache / "elsewhere")
    else:
        (tree_of(cache) / ".manifest").chmod(0o644)
        (tree_of(cache) / ".manifest").write_bytes(b"")
    run(files["one"], cache)
    victim = tree_of(cache) / "lib" / "deep" / "data"
    assert victim.read_bytes() == bytes(range(256)) * 100_000
    assert not victim.is_symlink()


def test_starting_the_box_reads_every_file(files: dict[str, Path], cache: Path) -> None:
    run(files["one"], cache)
    victim = tree_of(cache) / "lib" / "deep" / "data"
    when = victim.stat().st_mtime_ns
    with open(victim, "r+b") as file:
        file.seek(1_000_000)
        file.write(b"rotten")
    os.utime(victim, ns=(when, when))
    run(files["one"], cache, "up")
    assert (tree_of(cache) / "lib" / "deep" / "data").read_bytes() == bytes(range(256)) * 100_000


def test_other_versions_go_unless_they_run(files: dict[str, Path], cache: Path) -> None:
    running = start(files["one"], cache, "wait")
    assert running.stdout is not None
    assert running.stdout.readline().startswith("one ")
    old = tree_of(cache)
    run(files["two"], cache)
    assert old.exists()
    running.communicate("done\n", timeout=60)
    new = next(path for path in cache.iterdir() if len(path.name) == 64 and path != old)
    (new / "bin" / "pachybox").unlink()  # so that the place is changed again
    run(files["two"], cache)
    assert tree_of(cache) == new


@pytest.mark.parametrize("lost", [1, 128, 200])
def test_a_file_cut_short_says_so(
    files: dict[str, Path], tmp_path: Path, cache: Path, lost: int
) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(files["two"].read_bytes()[:-lost])
    cut.chmod(0o755)
    assert "cut short or damaged; copy it again" in refused(cut, cache)


def test_a_damaged_file_says_so_and_leaves_no_half(
    files: dict[str, Path], tmp_path: Path, cache: Path
) -> None:
    data = bytearray(files["one"].read_bytes())
    data[-3000] ^= 0x55  # in the packed content
    bad = tmp_path / "bad"
    bad.write_bytes(data)
    bad.chmod(0o755)
    assert "this file is damaged; copy it again" in refused(bad, cache)
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_a_cache_of_strangers_is_not_used(files: dict[str, Path], cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    said = refused(files["two"], cache)
    assert "others may write to it" in said
    assert "set PACHYBOX_CACHE" in said


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    with bare(tmp_path_factory.mktemp("bare") / "root") as entered:
        yield entered


def mount(root: Root, path: str, options: str) -> None:
    root.says("mkdir", "-p", path)
    root.says("mount", "-t", "tmpfs", "-o", options, "tmpfs", path)


def test_where_it_unpacks(files: dict[str, Path], root: Root) -> None:
    (root.path / "file").write_bytes(files["two"].read_bytes())
    (root.path / "file").chmod(0o755)
    assert root.says("/file").startswith("two /var/cache/pachybox/")
    mount(root, "/var/cache/pachybox", "mode=755,noexec")
    assert root.says("/file").startswith("two /root/.cache/pachybox/")
    mount(root, "/root", "mode=700,ro")
    assert root.says("/file").startswith("two /var/tmp/pachybox-0/")
    mount(root, "/full", "mode=755,size=1m")
    (root.path / "large").write_bytes(files["one"].read_bytes())
    (root.path / "large").chmod(0o755)
    said = root.run("/large", env={"PACHYBOX_CACHE": "/full"}).stderr
    assert "/full has room for 1 MB only" in said
    said = root.run("/file", env={"PACHYBOX_CACHE": "/root"}).stderr
    assert "cannot be written to" in said


def test_a_ready_cache_serves_from_a_read_only_place(files: dict[str, Path], root: Root) -> None:
    (root.path / "file2").write_bytes(files["two"].read_bytes())
    (root.path / "file2").chmod(0o755)
    root.says("/file2", env={"PACHYBOX_CACHE": "/ready"})
    root.says("mount", "--bind", "/ready", "/ready")
    root.says("mount", "-o", "remount,bind,ro", "/ready")
    assert root.says("/file2", env={"PACHYBOX_CACHE": "/ready"}).startswith("two /ready/")
    root.says("mount", "-o", "remount,bind,ro,noexec", "/ready")
    said = root.run("/file2", env={"PACHYBOX_CACHE": "/ready"}).stderr
    assert "/ready is mounted noexec" in said


def test_the_build_refuses_what_a_floor_forbids(tmp_path: Path) -> None:
    found = find_spec("blake3.blake3")
    assert found
    assert found.origin
    (tmp_path / "lib.so").symlink_to(found.origin)
    build.check(tmp_path)
    said = r"lib\.so needs GLIBC_2\.[\d.]+ of lib\w+\.so\.\d"
    with pytest.raises(Refused, match=said) as refused:
        build.check(tmp_path, "2.0")
    assert re.search(r"make binary ARGS=--glibc=2\.[\d.]+$", refused.value.hint)
