"""100,000 files of 1 KiB in and out, beside cp -r and restic."""

from __future__ import annotations

import subprocess

from benchmarks.harness import (
    cp_r_sync,
    faster,
    fresh,
    label,
    note,
    random_files,
    restic_backup,
    running,
    scaled,
    settle,
    timed,
)


def main() -> None:
    """Each once: the tree is too large for medians, and the peers decide the order of it."""
    count = scaled(100_000, 1000)
    source = random_files(fresh("source"), count, 1024)
    name = f"{label(count)} files of 1 KiB"
    settle()
    note("cp -r + sync")
    copied = cp_r_sync(source, fresh("cp") / "tree")
    settle()
    note("restic backup")
    restic = restic_backup(source)
    with running("many files") as box:
        box.cli("create", "repo", "many")
        settle()
        note("put file -r")
        put = timed(lambda: box.cli("put", "file", "-r", "many@master:/", "-f", str(source)))
        faster(f"put file -r, {name}, durable", put, "cp -r + sync", copied, 3)
        faster(f"put file -r, {name}, durable (restic)", put, "restic backup", restic, 5)

        settle()
        target = fresh("cp") / "tree"
        copied = timed(lambda: subprocess.run(["cp", "-r", source, target], check=True))
        settle()
        note("get file -r")
        target = fresh("get") / "tree"
        got = timed(lambda: box.cli("get", "file", "-r", "many@master:/", "-o", str(target)))
        assert sum(1 for path in target.rglob("f*") if path.is_file()) == count
        faster(f"get file -r, {name}", got, "cp -r", copied, 0.8)


if __name__ == "__main__":
    main()
