"""A thousand directory datums of a thousand files each: a change in one leaves the others alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks.harness import Row, label, note, report, running, scaled, settle, short
from benchmarks.jobs import commit_many, commit_one, pipeline, succeeded

CORES = os.cpu_count() or 1


def tree(folders: int, each: int) -> Iterator[str]:
    """``each`` files in each of the ``folders``."""
    return (f"/d{d:04d}/f{f:04d}" for d in range(folders) for f in range(each))


def main() -> None:
    """One box, two jobs. A file's content is its path, 12 bytes."""
    folders, each = scaled(1_000, 50), scaled(1_000, 50)
    path = f"/d{folders // 2:04d}/f{each // 2:04d}"
    with running("directories") as box, box.client() as client:
        client.create_repo("folders")
        pipeline(client, "true", "folders", "/*", workers=CORES)
        note(f"{folders} datums of {each} files")
        settle()
        first, job = commit_many(client, "folders", tree(folders, each), "true")
        succeeded(job, folders)
        assert job.download_bytes == folders * each * len(path), job
        settle()
        note("one file changed")
        second, job = commit_one(client, f"folders@master:{path}", b"0123456789ab", "true")
        succeeded(job, 1, folders - 1)
    what = f"{label(folders * each)} files as {label(folders)} directory datums"
    report(Row(f"{what}, the first job", first, "s"))
    report(
        Row(
            f"{what}, one file changed, commit to finished",
            second,
            "s",
            f"the first job {short(first)} s",
            second / first,
        )
    )
    own = each * len(path)
    report(
        Row(
            f"{what}, one file changed: input presented",
            job.download_bytes,
            "bytes",
            f"{label(own)} bytes in the changed datum",
            job.download_bytes / own,
            "the changed datum's, no other's",
            job.download_bytes == own,
        )
    )


if __name__ == "__main__":
    main()
