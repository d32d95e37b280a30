"""``pachybox licenses`` in a checkout."""

from __future__ import annotations

import json
import subprocess
import sys

from packaging.requirements import Requirement

from tests.arch.repo import canonical, requirements


def licenses(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pachybox.cli", "licenses", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_package_is_listed_with_its_text() -> None:
    done = licenses("--raw", "--full")
    assert done.returncode == 0, done.stderr
    found = {canonical(one["name"]): one for one in map(json.loads, done.stdout.splitlines())}
    asked: dict[str, Requirement] = requirements("")
    assert found.keys() >= {canonical(name) for name in asked}
    assert {"pachybox", "cpython", "linkify-it-py"} <= found.keys()  # the last by an extra
    for name, one in found.items():
        assert one["license"], name
        assert len("".join(one["texts"])) > 400, name


def test_some_by_name_and_an_unknown_one() -> None:
    assert licenses("DuckDB").stdout.splitlines()[1].startswith("duckdb ")
    done = licenses("nothing-such")
    assert done.returncode == 1
    assert done.stderr == "pachybox: nothing-such is not inside; see all: pachybox licenses\n"
