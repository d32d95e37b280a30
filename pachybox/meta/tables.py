"""How records become rows: one Table per table, the only place that knows column order.

A resident table is held whole in memory (names and heads: small, hot); the others
keep an LRU of what was read and written last.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Generic, TypeVar

from pachybox.model.events import Event
from pachybox.model.ids import Branch, Commit, CommitId, Hash, Job, Pipeline, Repo
from pachybox.model.ingest import Ingest, IngestKind, IngestRecord
from pachybox.model.pfs import (
    BranchRecord,
    CommitRecord,
    NoteRecord,
    Origin,
    ProjectRecord,
    RepoRecord,
    Trigger,
    UploadRecord,
)
from pachybox.model.pps import (
    DatumState,
    JobRecord,
    JobState,
    PipelineRecord,
    PipelineState,
    Stats,
)

K = TypeVar("K")
V = TypeVar("V")
Row = tuple[Any, ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(t: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (t - _EPOCH) // _MICROSECOND


def moment(us: int) -> datetime:
    """The aware UTC datetime of ``us`` microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def _opt(us: int | None) -> datetime | None:
    return None if us is None else moment(us)


def _optus(t: datetime | None) -> int | None:
    return None if t is None else micros(t)


def dumps(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, not escaped beyond need."""
    return _encode(value)


# perf: json.dumps makes an encoder for each call that is not plain
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False
).encode


_STATS = tuple(f.name for f in fields(Stats))
_stats_values = attrgetter(*_STATS)


def _stats(stats: Stats) -> str:
    # perf: asdict() copies deep, 7 us a datum of 11
    return dumps(dict(zip(_STATS, _stats_values(stats), strict=True)))


@dataclass(frozen=True, eq=False)
class Table(Generic[K, V]):
    """One table: its name, columns (the first ``keys`` form the key), and both directions.

    ``indexed``: the database itself keeps keys unique. Otherwise the writer does; the first column
    of the key rises about as rows are added, so that little is read to find them. ``trace``: a
    second table that gets a row for every row written here, and the row it gets.
    """

    name: str
    columns: tuple[str, ...]
    keys: int
    key: Callable[[V], K]
    key_row: Callable[[K], Row]
    to_row: Callable[[V], Row]
    from_row: Callable[[Row], V]
    resident: bool = False
    indexed: bool = True
    trace: tuple[str, Callable[[Row], Row]] | None = None

    @property
    def select(self) -> str:
        """``SELECT`` of all columns, to be followed by WHERE, ORDER, LIMIT."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"


def _branches(found: tuple[Branch, ...]) -> str:
    if not found:
        return "[]"
    return dumps([[b.repo.project, b.repo.name, b.repo.type, b.name] for b in found])


def _to_branches(text: str) -> tuple[Branch, ...]:
    return tuple(Branch(Repo(p, r, t), b) for p, r, t, b in json.loads(text))


def _branch_row(b: BranchRecord) -> Row:
    r = b.branch.repo
    return (
        r.project,
        r.name,
        r.type,
        b.branch.name,
        b.head,
        _branches(b.direct_provenance),
        dumps(asdict(b.trigger)) if b.trigger else "",
        micros(b.created),
        micros(b.updated),
        dumps(b.metadata) if b.metadata else "{}",
        _branches(b.quiet),
    )


def _branch(row: Row) -> BranchRecord:
    project, repo, type_, name, head, prov, trigger, created, updated, metadata, quiet = row
    return BranchRecord(
        Branch(Repo(project, repo, type_), name),
        None if head is None else CommitId(head),
        _to_branches(prov),
        moment(created),
        moment(updated),
        Trigger(**json.loads(trigger)) if trigger else None,
        json.loads(metadata),
        _to_branches(quiet),
    )


def _commit_row(c: CommitRecord) -> Row:
    r = c.commit.repo
    prov = [[b.repo.project, b.repo.name, b.repo.type, b.name, i] for b, i in c.direct_provenance]
    return (
        c.commit.id,
        r.project,
        r.name,
        r.type,
        c.branch,
        c.parent,
        c.origin.value,
        c.description,
        c.seq,
        micros(c.started),
        _optus(c.finished),
        c.error,
        c.root,
        c.size,
        c.files,
        dumps(prov) if prov else "[]",
        dumps(c.metadata) if c.metadata else "{}",
        c.attributes,
    )


def _commit(row: Row) -> CommitRecord:
    (id_, project, repo, type_, branch, parent, origin, description, seq, started) = row[:10]
    (finished, error, root, size, files, prov, metadata, attributes) = row[10:]
    return CommitRecord(
        Commit(Repo(project, repo, type_), CommitId(id_)),
        branch,
        None if parent is None else CommitId(parent),
        Origin(origin),
        description,
        seq,
        moment(started),
        _opt(finished),
        error,
        Hash(root),
        size,
        files,
        tuple((Branch(Repo(p, r, t), b), CommitId(i)) for p, r, t, b, i in json.loads(prov)),
        json.loads(metadata),
        None if attributes is None else Hash(attributes),
    )


def _pipeline_row(p: PipelineRecord) -> Row:
    return (
        p.pipeline.project,
        p.pipeline.name,
        p.version,
        dumps(p.spec),
        p.user_spec,
        p.salt,
        p.state.value,
        p.reason,
        p.stopped,
        micros(p.created),
        micros(p.updated),
        p.spec_commit,
        p.runner,
        p.image_pin,
    )


def _pipeline(row: Row) -> PipelineRecord:
    project, name, version, spec, user, salt, state, reason, stopped, created, updated = row[:11]
    return PipelineRecord(
        Pipeline(project, name),
        version,
        json.loads(spec),
        user,
        salt,
        PipelineState(state),
        reason,
        stopped,
        moment(created),
        moment(updated),
        CommitId(row[11]),
        row[12],
        row[13],
    )


def _job_row(j: JobRecord) -> Row:
    return (
        j.job.id,
        j.job.pipeline.project,
        j.job.pipeline.name,
        j.pipeline_version,
        j.state.value,
        j.reason,
        micros(j.created),
        _optus(j.started),
        _optus(j.finished),
        j.total,
        j.processed,
        j.skipped,
        j.failed,
        j.recovered,
        j.restarts,
        _stats(j.stats),
        j.datums,
        j.plan_key,
    )


def _job(row: Row) -> JobRecord:
    (id_, project, pipeline, version, state, reason, created, started, finished) = row[:9]
    return JobRecord(
        Job(Pipeline(project, pipeline), CommitId(id_)),
        version,
        JobState(state),
        reason,
        moment(created),
        _opt(started),
        _opt(finished),
        total=row[9],
        processed=row[10],
        skipped=row[11],
        failed=row[12],
        recovered=row[13],
        restarts=row[14],
        stats=Stats(**json.loads(row[15])),
        datums=None if row[16] is None else Hash(row[16]),
        plan_key=row[17],
    )


@dataclass(frozen=True, slots=True)
class PipelineVersion:
    """One version of a pipeline as it was created."""

    pipeline: Pipeline
    version: int
    spec: dict[str, Any]
    user_spec: str
    salt: str
    created: datetime
    spec_commit: CommitId
    runner: str = ""
    image_pin: str = ""


@dataclass(frozen=True, slots=True)
class DatumRecord:
    """What one job did with one datum it ran itself.

    ``inputs`` are paths it read (not all of many: ``input_count`` counts them), ``tries`` the
    attempts it took, ``started`` when the first of them began, on worker ``worker`` of the job.
    ``seq`` is that of the job's output commit.
    """

    job: Job
    id: str
    hash: str
    state: DatumState
    reason: str
    dir: Hash
    finished: datetime
    stats: Stats
    inputs: tuple[str, ...] = ()
    input_count: int = 0
    started: datetime | None = None
    worker: int = 0
    tries: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """Requests queued by clients, run together when the transaction is finished."""

    id: str
    started: datetime
    requests: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """One secret; ``sealed`` is its values encrypted, ``keys`` their names."""

    name: str
    type: str
    created: datetime
    keys: tuple[str, ...]
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token. ``role``: reader, writer or admin, of ``repos`` (project and name) or, when they
    are None, of the whole box. ``hash`` is the SHA-256 of the token; ``sealed`` the token
    encrypted, for S3, else empty. It holds until ``expires`` or ``revoked``; ``used``: about when
    it was shown last."""

    name: str
    hash: bytes = field(repr=False)
    role: str
    repos: tuple[tuple[str, str], ...] | None
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    used: datetime | None = None
    sealed: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class EgressRecord:
    """How far a job's output has come on its way out: every file up to the path ``pushed`` is
    at the target. ``failures`` counts the attempts that failed since the last progress."""

    job: Job
    pushed: str = ""
    files: int = 0
    bytes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class FilesetRecord:
    """A tree without a commit, until ``expires``. Laid on another tree, it first takes away
    what ``deletes`` names there (see pfs.write.RemoveFile, exact), then adds its files."""

    id: str
    root: Hash
    deletes: tuple[str, ...]
    created: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """A value that a client keeps in the box, and the filesets that stay with it."""

    key: str
    tag: str
    type_url: str
    value: bytes
    filesets: tuple[str, ...]
    created: datetime


@dataclass(frozen=True, slots=True)
class DefaultsRecord:
    """Spec defaults as they were set: of a project, or of the whole box when it is empty."""

    project: str
    text: str
    created: datetime


def _datum_row(d: DatumRecord) -> Row:
    p = d.job.pipeline
    return (
        d.seq,
        p.project,
        p.name,
        d.job.id,
        d.id,
        d.hash,
        d.state.value,
        d.reason,
        d.dir,
        micros(d.finished),
        _stats(d.stats),
        "\n".join(d.inputs),
        d.input_count,
        _optus(d.started),
        d.worker,
        d.tries,
        int(d.stats.download_s * 1e6),
        int(d.stats.process_s * 1e6),
        int(d.stats.upload_s * 1e6),
    )


def _datum(row: Row) -> DatumRecord:
    seq, project, pipeline, job, id_, hash_, state, reason, dir_, finished, stats = row[:11]
    inputs, count, started, worker, tries = row[11:16]
    return DatumRecord(
        Job(Pipeline(project, pipeline), CommitId(job)),
        id_,
        hash_,
        DatumState(state),
        reason,
        Hash(dir_),
        moment(finished),
        Stats(**json.loads(stats)),
        tuple(inputs.split("\n")) if inputs else (),
        count,
        _opt(started),
        worker,
        tries,
        seq,
    )


def hash_number(hash_: str) -> int:
    """What stands for the hash of a datum in the index of hashes: its first 60 bits."""
    return int(hash_[:15], 16)


HASH_NUMBER = "('0x' || left(hash, 15))::BIGINT"
"""The same in SQL."""


PROJECTS: Table[str, ProjectRecord] = Table(
    "projects",
    ("name", "description", "created_us", "metadata_json"),
    1,
    lambda p: p.name,
    lambda k: (k,),
    lambda p: (p.name, p.description, micros(p.created), dumps(p.metadata)),
    lambda r: ProjectRecord(r[0], r[1], moment(r[2]), json.loads(r[3])),
    resident=True,
)

REPOS: Table[Repo, RepoRecord] = Table(
    "repos",
    ("project", "name", "type", "description", "created_us", "metadata_json"),
    3,
    lambda r: r.repo,
    lambda k: (k.project, k.name, k.type),
    lambda r: (
        r.repo.project,
        r.repo.name,
        r.repo.type,
        r.description,
        micros(r.created),
        dumps(r.metadata),
    ),
    lambda r: RepoRecord(Repo(*r[:3]), r[3], moment(r[4]), json.loads(r[5])),
    resident=True,
)

BRANCHES: Table[Branch, BranchRecord] = Table(
    "branches",
    (
        "project",
        "repo",
        "type",
        "name",
        "head",
        "provenance_json",
        "trigger_json",
        "created_us",
        "updated_us",
        "metadata_json",
        "quiet_json",
    ),
    4,
    lambda b: b.branch,
    lambda k: (k.repo.project, k.repo.name, k.repo.type, k.name),
    _branch_row,
    _branch,
    resident=True,
)

COMMITS: Table[Commit, CommitRecord] = Table(
    "commits",
    (
        "id",
        "project",
        "repo",
        "type",
        "branch",
        "parent",
        "origin",
        "description",
        "seq",
        "started_us",
        "finished_us",
        "error",
        "root",
        "size",
        "files",
        "provenance_json",
        "metadata_json",
        "attributes",
    ),
    4,
    lambda c: c.commit,
    lambda k: (k.id, k.repo.project, k.repo.name, k.repo.type),
    _commit_row,
    _commit,
)

PIPELINES: Table[Pipeline, PipelineRecord] = Table(
    "pipelines",
    (
        "project",
        "name",
        "version",
        "spec_json",
        "user_spec",
        "salt",
        "state",
        "reason",
        "stopped",
        "created_us",
        "updated_us",
        "spec_commit",
        "runner",
        "image_pin",
    ),
    2,
    lambda p: p.pipeline,
    lambda k: (k.project, k.name),
    _pipeline_row,
    _pipeline,
    resident=True,
)

PIPELINE_VERSIONS: Table[tuple[Pipeline, int], PipelineVersion] = Table(
    "pipeline_versions",
    (
        *("project", "name", "version", "spec_json", "user_spec", "salt", "created_us"),
        *("spec_commit", "runner", "image_pin"),
    ),
    3,
    lambda v: (v.pipeline, v.version),
    lambda k: (k[0].project, k[0].name, k[1]),
    lambda v: (
        v.pipeline.project,
        v.pipeline.name,
        v.version,
        dumps(v.spec),
        v.user_spec,
        v.salt,
        micros(v.created),
        v.spec_commit,
        v.runner,
        v.image_pin,
    ),
    lambda r: PipelineVersion(
        Pipeline(r[0], r[1]),
        r[2],
        json.loads(r[3]),
        r[4],
        r[5],
        moment(r[6]),
        CommitId(r[7]),
        *r[8:],
    ),
)

JOBS: Table[Job, JobRecord] = Table(
    "jobs",
    (
        "id",
        "project",
        "pipeline",
        "version",
        "state",
        "reason",
        "created_us",
        "started_us",
        "finished_us",
        "total",
        "processed",
        "skipped",
        "failed",
        "recovered",
        "restarts",
        "stats_json",
        "datums",
        "plan_key",
    ),
    3,
    lambda j: j.job,
    lambda k: (k.id, k.pipeline.project, k.pipeline.name),
    _job_row,
    _job,
)

DATUMS: Table[tuple[int, Job, str], DatumRecord] = Table(
    "datums",
    (
        "seq",
        "project",
        "pipeline",
        "job",
        "id",
        "hash",
        "state",
        "reason",
        "dir",
        "finished_us",
        "stats_json",
        *("inputs", "input_count", "started_us", "worker", "tries"),
        *("download_us", "process_us", "upload_us"),
    ),
    5,
    lambda d: (d.seq, d.job, d.id),
    lambda k: (k[0], k[1].pipeline.project, k[1].pipeline.name, k[1].id, k[2]),
    _datum_row,
    _datum,
    indexed=False,
    trace=("datum_hashes", lambda row: (hash_number(row[5]), row[0])),
)

TRANSACTIONS: Table[str, TransactionRecord] = Table(
    "transactions",
    ("id", "started_us", "requests_json"),
    1,
    lambda t: t.id,
    lambda k: (k,),
    lambda t: (t.id, micros(t.started), dumps(list(t.requests))),
    lambda r: TransactionRecord(r[0], moment(r[1]), tuple(json.loads(r[2]))),
    resident=True,
)

SECRETS: Table[str, SecretRecord] = Table(
    "secrets",
    ("name", "type", "created_us", "keys_json", "sealed"),
    1,
    lambda s: s.name,
    lambda k: (k,),
    lambda s: (s.name, s.type, micros(s.created), dumps(s.keys), s.sealed),
    lambda r: SecretRecord(r[0], r[1], moment(r[2]), tuple(json.loads(r[3])), bytes(r[4])),
    resident=True,
)


def _token(row: Row) -> TokenRecord:
    name, hash_, role, repos, created, expires, revoked, used, sealed = row
    bound = json.loads(repos)
    return TokenRecord(
        name,
        bytes(hash_),
        role,
        None if bound is None else tuple((p, r) for p, r in bound),
        moment(created),
        _opt(expires),
        _opt(revoked),
        _opt(used),
        bytes(sealed),
    )


TOKENS: Table[str, TokenRecord] = Table(
    "tokens",
    (
        *("name", "hash", "role", "repos_json", "created_us", "expires_us", "revoked_us"),
        *("used_us", "sealed"),
    ),
    1,
    lambda t: t.name,
    lambda k: (k,),
    lambda t: (
        t.name,
        t.hash,
        t.role,
        dumps(t.repos),
        micros(t.created),
        _optus(t.expires),
        _optus(t.revoked),
        _optus(t.used),
        t.sealed,
    ),
    _token,
    resident=True,
)

DEFAULTS: Table[str, DefaultsRecord] = Table(
    "defaults",
    ("project", "text", "created_us"),
    1,
    lambda d: d.project,
    lambda k: (k,),
    lambda d: (d.project, d.text, micros(d.created)),
    lambda r: DefaultsRecord(r[0], r[1], moment(r[2])),
    resident=True,
)

EGRESSES: Table[Job, EgressRecord] = Table(
    "egresses",
    ("id", "project", "pipeline", "pushed", "files", "bytes", "failures"),
    3,
    lambda e: e.job,
    lambda k: (k.id, k.pipeline.project, k.pipeline.name),
    lambda e: (
        e.job.id,
        e.job.pipeline.project,
        e.job.pipeline.name,
        e.pushed,
        e.files,
        e.bytes,
        e.failures,
    ),
    lambda r: EgressRecord(Job(Pipeline(r[1], r[2]), CommitId(r[0])), *r[3:]),
    resident=True,
)

FILESETS: Table[str, FilesetRecord] = Table(
    "filesets",
    ("id", "root", "deletes_json", "created_us", "expires_us"),
    1,
    lambda f: f.id,
    lambda k: (k,),
    lambda f: (f.id, f.root, dumps(f.deletes), micros(f.created), micros(f.expires)),
    lambda r: FilesetRecord(r[0], Hash(r[1]), tuple(json.loads(r[2])), moment(r[3]), moment(r[4])),
)

CACHE: Table[str, CacheRecord] = Table(
    "cache",
    ("key", "tag", "type_url", "value", "filesets_json", "created_us"),
    1,
    lambda c: c.key,
    lambda k: (k,),
    lambda c: (c.key, c.tag, c.type_url, c.value, dumps(c.filesets), micros(c.created)),
    lambda r: CacheRecord(r[0], r[1], r[2], bytes(r[3]), tuple(json.loads(r[4])), moment(r[5])),
)

UPLOADS: Table[str, UploadRecord] = Table(
    "uploads",
    (
        "id",
        "project",
        "repo",
        "branch",
        "commit_id",
        "key",
        "started_us",
        "touched_us",
        "attributes_json",
        "algorithm",
        "checksum_type",
        "parts",
    ),
    1,
    lambda u: u.id,
    lambda k: (k,),
    lambda u: (
        u.id,
        u.branch.repo.project,
        u.branch.repo.name,
        u.branch.name,
        u.commit,
        u.key,
        micros(u.started),
        micros(u.touched),
        u.attributes_json,
        u.algorithm,
        u.checksum_type,
        u.parts,
    ),
    lambda r: UploadRecord(
        r[0],
        Branch(Repo(r[1], r[2]), r[3]),
        r[4],
        r[5],
        moment(r[6]),
        moment(r[7]),
        r[8],
        r[9],
        r[10],
        None if r[11] is None else Hash(r[11]),
    ),
    resident=True,
)

INGESTS: Table[Ingest, IngestRecord] = Table(
    "ingests",
    (
        "project",
        "name",
        "kind",
        "spec_json",
        "to_project",
        "to_repo",
        "to_branch",
        "version",
        "created_us",
        "updated_us",
        "paused",
        "batch",
        "offset_json",
        "records",
        "bytes",
        "files",
        "commits",
        "dead",
        "last_commit",
        "last_us",
    ),
    2,
    lambda i: i.ingest,
    lambda k: (k.project, k.name),
    lambda i: (
        i.ingest.project,
        i.ingest.name,
        i.kind.value,
        dumps(i.spec),
        i.to.repo.project,
        i.to.repo.name,
        i.to.name,
        i.version,
        micros(i.created),
        micros(i.updated),
        i.paused,
        i.batch,
        i.offset,
        i.records,
        i.bytes,
        i.files,
        i.commits,
        i.dead,
        i.last_commit,
        _optus(i.last_time),
    ),
    lambda r: IngestRecord(
        Ingest(r[0], r[1]),
        IngestKind(r[2]),
        json.loads(r[3]),
        Branch(Repo(r[4], r[5]), r[6]),
        r[7],
        moment(r[8]),
        moment(r[9]),
        r[10],
        r[11],
        r[12],
        r[13],
        r[14],
        r[15],
        r[16],
        r[17],
        None if r[18] is None else CommitId(r[18]),
        _opt(r[19]),
    ),
    resident=True,
)

NOTES: Table[int, NoteRecord] = Table(
    "notes",
    ("number", "project", "repo", "type", "commit_id", "key", "content", "said"),
    1,
    lambda n: n.number,
    lambda k: (k,),
    lambda n: (
        n.number,
        n.commit.repo.project,
        n.commit.repo.name,
        n.commit.repo.type,
        n.commit.id,
        n.key,
        b2a_base64(n.content, newline=False).decode(),
        n.said,
    ),
    lambda r: NoteRecord(
        r[0], Commit(Repo(r[1], r[2], r[3]), CommitId(r[4])), r[5], a2b_base64(r[6]), r[7]
    ),
)

EVENTS: Table[int, Event] = Table(
    "events",
    ("seq", "time_us", "kind", "data_json"),
    1,
    lambda e: e.seq,
    lambda k: (k,),
    lambda e: (e.seq, micros(e.time), e.kind, dumps(e.data)),
    lambda r: Event(r[0], moment(r[1]), r[2], json.loads(r[3])),
)

FACTS: Table[str, tuple[str, str]] = Table(
    "facts",
    ("name", "value"),
    1,
    lambda f: f[0],
    lambda k: (k,),
    lambda f: f,
    lambda r: (r[0], r[1]),
    resident=True,
)

OF_BOX: tuple[Table[Any, Any], ...] = (TOKENS,)
"""Tables that belong to the box, not to its data: no archive holds them, so that a token that was
revoked does not come back with one."""

ALL: tuple[Table[Any, Any], ...] = (
    PROJECTS,
    REPOS,
    BRANCHES,
    COMMITS,
    PIPELINES,
    PIPELINE_VERSIONS,
    JOBS,
    DATUMS,
    TRANSACTIONS,
    SECRETS,
    TOKENS,
    DEFAULTS,
    EGRESSES,
    FILESETS,
    CACHE,
    UPLOADS,
    INGESTS,
    NOTES,
    EVENTS,
    FACTS,
)
