"""What bounds a job from below: the smallest user code there is, and bare ways to run it often."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from benchmarks.harness import fresh, timed

_TRUE = "int main(void) { return 0; }\n"
_PASS_ON = """\
#include <unistd.h>
int main(void) { return symlink("/pfs/in/file", "/pfs/out/file") != 0; }
"""


@cache
def compiler() -> tuple[str, ...]:
    """The command of a C compiler; empty where there is none."""
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return (found,)
    return (sys.executable, "-m", "ziglang", "cc") if find_spec("ziglang") else ()


def _compile(name: str, source: str) -> Path | None:
    """A static program; None where it cannot be made."""
    folder = fresh("program")
    code, program = folder / f"{name}.c", folder / name
    code.write_text(source)
    for libc in ((), ("-target", f"{os.uname().machine}-linux-musl")):
        command = [*compiler(), *libc, "-Os", "-static", "-o", str(program), str(code)]
        made = bool(compiler()) and subprocess.run(command, capture_output=True, check=False)
        if made and made.returncode == 0:
            return program
    return None


@cache
def true() -> str:
    """The path of a static ``true``, else of the machine's."""
    return str(_compile("true", _TRUE) or shutil.which("true"))


@cache
def pass_on() -> str | None:
    """The path of a static program that makes /pfs/in/file its output, by a symbolic link."""
    made = _compile("pass-on", _PASS_ON)
    return None if made is None else str(made)


@cache
def _spawner() -> Path | None:
    return _compile("spawn", Path(__file__).with_name("spawn.c").read_text())


def spawn_rate(count: int, at_once: int) -> tuple[str, float]:
    """Runs of ``true`` a second with nothing about them, and by what they were started."""
    if (spawner := _spawner()) is not None:
        command = [str(spawner), str(count), str(at_once), true()]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return "fork and exec in C", count / float(done.stdout)
    return "posix_spawn in Python", count / timed(lambda: _posix_spawn(count, at_once))


def _posix_spawn(count: int, at_once: int) -> None:
    left, living = count, 0
    while left or living:
        if left and living < at_once:
            os.posix_spawn(true(), [true()], os.environ)
            left, living = left - 1, living + 1
            continue
        _, status = os.wait()
        assert status == 0
        living -= 1


def make_rate(count: int, at_once: int) -> float | None:
    """Runs of ``true`` a second as the recipes of a makefile; None without make."""
    if not shutil.which("make"):
        return None
    folder = fresh("make")
    names = " ".join(f"t{number}" for number in range(count))
    (folder / "Makefile").write_text(f"all: {names}\n{names}:\n\t@{true()}\n")
    command = ["make", "-C", str(folder), "-r", "-R", "-s", f"-j{at_once}", "all"]
    return count / timed(lambda: subprocess.run(command, check=True))


def make_one_of(count: int) -> float | None:
    """Seconds in which make finds the one changed file among ``count`` and runs its recipe (which
    writes nothing, as ``true`` does); None without make."""
    if not shutil.which("make"):
        return None
    folder = fresh("make")
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    long_ago = time.time() - 60
    for number in range(count):
        for where, when in (("in", long_ago), ("out", long_ago + 1)):
            path = folder / where / f"f{number}"
            path.touch()
            os.utime(path, (when, when))
    os.utime(folder / "in" / f"f{count // 2}")
    (folder / "Makefile").write_text(
        "all: $(patsubst in/%,out/%,$(wildcard in/*))\nout/%: in/%\n\t@" + true() + "\n"
    )
    command = ["make", "-C", str(folder), "-r", "-R", "-s", "all"]
    return timed(lambda: subprocess.run(command, check=True))
