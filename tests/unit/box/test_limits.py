"""The plan of memory and open files: within what there is, and never less than what works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pachybox import limits
from pachybox.config import Config

MB = 1 << 20


@given(st.integers(1, 1 << 42), st.integers(limits.LEAST_FILES, 1 << 20))
def test_parts_fit_into_the_whole(memory: int, files: int) -> None:
    plan = limits.plan(memory, files)
    assert plan.packs + plan.objects + plan.connections <= files
    assert plan.connections >= 8
    assert plan.pieces >= 6
    if memory >= 256 * MB:
        spent = plan.database_bytes + plan.nodes_bytes + plan.requests_bytes
        assert spent + plan.pieces * 2 * MB < memory * 0.55


@given(st.integers(1, 1 << 34), st.integers(1, 1 << 34), st.integers(128, 4096))
def test_more_memory_never_gives_a_part_less(one: int, other: int, files: int) -> None:
    low, high = (limits.plan(memory, files) for memory in sorted((one, other)))
    for name in ("database_bytes", "database_threads", "nodes_bytes", "requests_bytes", "pieces"):
        assert getattr(low, name) <= getattr(high, name)


def test_plenty_is_what_was_measured_to_be_best() -> None:
    plan = limits.plan(8 << 30, 20_000)
    assert (plan.database_bytes, plan.nodes_bytes) == (192_000_000, 24 * MB)
    assert (plan.packs, plan.objects, plan.connections) == (256, 64, 512)


def test_a_setting_goes_before_what_the_machine_has(tmp_path: Path) -> None:
    assert limits.of(Config(tmp_path, memory_bytes=300 * MB)).memory == 300 * MB
    assert limits.of(Config(tmp_path)).memory == min(value for value, _ in limits.allowed())


def in_child(code: str, **bounds: int) -> str:
    """What ``code`` prints in a process with resource limits of its own."""
    limited = [f"--{name.lower()}={value}:{value}" for name, value in bounds.items()]
    command = ["prlimit", *limited, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_limits_of_the_process_are_seen() -> None:
    code = "from pachybox import limits; print(min(v for v, _ in limits.allowed()))"
    assert in_child(code, DATA=777 * MB) == str(777 * MB)


def test_few_open_files_are_refused_with_the_remedy(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom pachybox import errors, limits, config\n"
        "try: limits.of(config.Config(Path('/tmp')))\n"
        "except errors.Refused as e: print(e)\n"
    )
    assert "the limit of open files is 100" in in_child(code, NOFILE=100)
    assert "ulimit -n" in in_child(code, NOFILE=100)


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    code = (
        "import resource\nfrom pachybox import limits\nr = resource.RLIMIT_NOFILE\n"
        "resource.setrlimit(r, (200, resource.getrlimit(r)[1]))\nlimits.raise_open_files()\n"
        "print(resource.getrlimit(r))"
    )
    assert in_child(code, NOFILE=900) == "(900, 900)"
