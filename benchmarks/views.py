"""What screens ask for: the box at a glance, and pages of long lists at their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.harness import (
    Box,
    Row,
    below,
    fill,
    grows,
    label,
    median,
    note,
    report,
    running,
    scaled,
)
from benchmarks.jobs import pipeline
from benchmarks.large_repo import flat
from pachybox.box import Box as Inner
from pachybox.client import Client
from pachybox.config import load
from pachybox.meta.tables import COMMITS, JOBS
from pachybox.meta.tx import Tx
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.ids import Commit, CommitId, Hash, Job, Pipeline
from pachybox.model.pfs import CommitRecord, Origin
from pachybox.model.pps import Datum, DatumState, JobRecord, JobState, Stats
from pachybox.pps import meta_file
from pachybox.store.trees import EMPTY

TIMES = 15
PAGE = 256
RAN, SKIPPED = "a" * 32, "b" * 32  # ids of the two jobs
FAILED = 10

# what a job that ran N datums leaves
_DATUMS = """
INSERT INTO datums SELECT {seq}, 'default', 'large', '{job}', sha256('d' || i), sha256('h' || i),
    CASE WHEN i < {failed} THEN 'FAILED' ELSE 'SUCCESS' END, '', unhex('{dir}'),
    1700000000000000 + i * 1000, '{{"download_s":0.001,"process_s":0.5,"upload_s":0.0005,'
    || '"download_bytes":100,"upload_bytes":200,"cpu_s":0.5,"peak_rss_bytes":100000}}',
    '/in/' || i || '.csv', 1, 1700000000000000 + i * 1000, i % 2, 1, 1000,
    (hash(i) % 1000000)::BIGINT, 500 FROM range({first}, {last}) t(i)
"""
_JOBS = """
INSERT INTO jobs SELECT md5('j' || i), 'default', 'p' || (i % 500), 1, 'JOB_SUCCESS', '',
    1600000000000000 + i * 1000000, 1600000000000000 + i * 1000000, 1600000000000000 + i * 1000000,
    1, 1, 0, 0, 0, 0, '{{}}', NULL, '' FROM range({count}) t(i)
"""


def past(box: Box, datums: int, jobs: int) -> None:
    """Give a box that is down two jobs of ``datums`` datums, one that ran all and one that skipped
    all but a few, and as many other ``jobs``."""
    inner = Inner(load(box.home))
    try:
        meta, pfs = inner.meta, inner.pfs

        def sql(tx: Tx, text: str) -> None:
            meta.db.writer.execute(text)

        # the indexes of a million rows written at once
        meta.write(partial(sql, text="SET memory_limit = '1GB'"), solo=True)
        with pfs.blobs.session() as session:
            one = Datum("d", "h", ())
            written = meta_file.write(one, CommitId(RAN), DatumState.SUCCESS, "", Stats())
            entry = Entry("meta", Kind.FILE, session.put(written), len(written))
            directory = pfs.trees.edit(EMPTY, [Put("/meta", entry)], session.put)
            values = {"failed": FAILED, "dir": bytes(directory).hex()}
            for seq, (job, count) in enumerate(((RAN, datums), (SKIPPED, datums // 1000))):
                for first in range(0, count, 50_000):
                    last = min(first + 50_000, count)
                    text = _DATUMS.format(job=job, seq=seq, first=first, last=last, **values)
                    meta.write(partial(sql, text=text), solo=True)
            root = EMPTY
            for edits in _entries(meta.db.read, directory, datums):
                root = pfs.trees.edit(root, edits, session.put)
            meta.write(partial(_jobs, root=root, datums=datums))
            session.keep()
        meta.write(partial(sql, text=_JOBS.format(count=jobs)), solo=True)
        meta.write(partial(sql, text="CHECKPOINT"), solo=True)
    finally:
        inner.close()


def _entries(
    read: Callable[[str], list[tuple[str]]], directory: Hash, datums: int
) -> Iterator[list[Edit]]:
    """The datums' directories, some at a time."""
    entry = Entry("d", Kind.DIR, directory, 0, 0)
    for first in range(0, datums, 100_000):
        last = min(first + 100_000, datums)
        rows = read(f"SELECT sha256('d' || i) FROM range({first}, {last}) t(i)")
        yield [Put(f"/{row[0]}", entry) for row in rows]


def _jobs(tx: Tx, root: Hash, datums: int) -> None:
    few = datums // 1000
    for seq, (id_, ran) in enumerate(((RAN, datums), (SKIPPED, few))):
        job = Job(Pipeline("default", "large"), CommitId(id_))
        output = Commit(job.pipeline.repo, job.id)
        tx.put(
            COMMITS,
            CommitRecord(
                output, "master", None, Origin.AUTO, "", seq, tx.now, tx.now, "", EMPTY, 0, 0, ()
            ),
        )
        record = JobRecord(job, 1, JobState.SUCCESS, "", tx.now, tx.now, tx.now)
        tx.put(
            JOBS,
            JobRecord(
                job, 1, record.state, "", tx.now, tx.now, tx.now, datums, ran - FAILED,
                datums - ran, FAILED, datums=root,
            ),
        )  # fmt: skip


def at_a_glance(box: Box, client: Client, pipelines: int) -> None:
    """The rows of the summary, without a past and with one."""
    what = f"the box at a glance: {label(pipelines)} pipelines, {label(pipelines + 1)} repos"
    client.summary()
    below(what, 1000 * median(client.summary, TIMES), "ms", 50, "with the client's reading")


def datums(client: Client, count: int) -> None:
    """The rows of pages of datums."""
    last = count - PAGE
    for name, job in (("ran", RAN), ("skipped but a few", SKIPPED)):
        what = f"page of a job of {label(count)} datums, {name}"
        ask = partial(client.page_datum, f"large@{job}", limit=PAGE)
        assert len(ask(offset=last).rows) == PAGE
        for where, offset in (("first", 0), ("middle", count // 2), ("last", last)):
            most = 400 if where == "middle" else 100
            took = 1000 * median(partial(ask, offset=offset), TIMES)
            below(f"{what}: {where}", took, "ms", most)
        took = 1000 * median(partial(ask, states=["FAILED"]), TIMES)
        below(f"{what}: the failed ones", took, "ms", 100)
    took = 1000 * median(partial(client.timing, f"large@{RAN}"), TIMES)
    report(Row(f"timing of a job of {label(count)} datums", took, "ms"))


def files(client: Client, count: int) -> None:
    """The rows of pages of a folder."""
    client.create_repo("folder")
    fill(client, "folder@master", flat(count))
    ask = partial(client.page_file, "folder@master:/flat", limit=500)
    what = f"page of a folder of {label(count)} files"
    for where, offset in (("first", 0), ("middle", count // 2), ("last", count - 500)):
        below(f"{what}: {where}", 1000 * median(partial(ask, offset=offset), TIMES), "ms", 50)
    took = 1000 * median(partial(ask, offset=count // 2, sort="size"), TIMES)
    below(f"{what}: middle, by size", took, "ms", 50)


def main() -> None:
    """One box."""
    pipelines, many, folder = scaled(500, 20), scaled(1_000_000, 10_000), scaled(50_000, 1_000)
    with running("views") as box:
        with box.client() as client:
            client.create_repo("in")
            client.put_file("in@master:/f", b"x")
            note(f"{pipelines} pipelines, each with a job")
            for number in range(pipelines):
                pipeline(client, f"p{number}", "in", "/*")
            for number in range(pipelines):
                client.wait_commit(f"p{number}@master")
            client.summary()
            before = median(client.summary, TIMES)
            files(client, folder)
            pipeline(client, "large", "in", "/none-*")
        box.down()
        jobs = scaled(200_000, 1_000)
        note(f"{many} datums, {jobs} jobs of the past")
        past(box, many, jobs)
        box.up()
        with box.client() as client:
            at_a_glance(box, client, pipelines)
            after = median(client.summary, TIMES)
            name = f"the box at a glance, after {label(jobs)} jobs"
            grows(name, 1000 * after, "ms", 1000 * before, "without them", 1.5)
            datums(client, many)


if __name__ == "__main__":
    main()
