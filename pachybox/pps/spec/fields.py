"""The one table of spec fields: every field of Pachyderm 1.11 to 2.12, and what the box does.

The checks, the suggestions for misspelt names and docs/spec.md all come from it. A path
ending in ``[]`` is an item of a list. Values only; no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The shape of a value; the text is what an error says was expected."""

    STRING = "a string"
    STRINGS = "a list of strings"
    INT = "a whole number"
    INTS = "a list of whole numbers"
    NUMBER = "a number"
    BOOL = "true or false"
    DURATION = 'a duration like "300s"'
    QUANTITY = 'a quantity like "64M"'
    JSON = "a string of JSON"
    MAP = "an object of strings"
    OBJECT = "an object"
    OBJECTS = "a list of objects"
    INPUTS = "a list of inputs"


class Status(Enum):
    """What becomes of a field; the text is how the documents call it."""

    BUILT = "works"
    NO_MEANING = "stored"
    """Nothing to do on one machine: checked, kept with the pipeline, warned of by name."""
    LATER = "refused"
    """Would change what happens and is not built: refused, never ignored."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``since`` lists the lines that have it: ``1`` is 1.11, ``2`` all of 2.x.

    ``also``: further spellings. ``refusal`` and ``instead``: what is said and advised
    when a LATER field is refused, where the usual words do not do.
    ``by_presence``: even an empty object asks for the behaviour. ``words``: the only strings
    it may be, besides the empty one.
    """

    path: str
    kind: Kind
    since: str
    status: Status
    doc: str
    default: str = ""
    also: tuple[str, ...] = ()
    refusal: str = ""
    instead: str = ""
    by_presence: bool = False
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path, in snake_case."""
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """The path of the object it is in; empty at the top."""
        return self.path.rpartition(".")[0]

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every accepted name: snake_case, lowerCamelCase, and odd ones."""
        return tuple(dict.fromkeys((self.name, camel(self.name), *self.also)))


def camel(name: str) -> str:
    """lowerCamelCase as protobuf's JSON spells it: ``s3_out`` is ``s3Out``."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


_BUILT, _STORED, _LATER = Status.BUILT, Status.NO_MEANING, Status.LATER
_STR, _STRS, _INT, _BOOL = Kind.STRING, Kind.STRINGS, Kind.INT, Kind.BOOL
_OBJECT, _OBJECTS, _MAP = Kind.OBJECT, Kind.OBJECTS, Kind.MAP
_DURATION, _QUANTITY, _INPUTS = Kind.DURATION, Kind.QUANTITY, Kind.INPUTS


_HANDED_OUT = "remove it: the result is the same"
_IDLE_WORKERS = "remove it and set parallelism_spec.constant"
_ONE_REPO = 'bring the files into one repo with "pachybox copy file" and read it by input.pfs'
_SERVE = 'remove it and run the program beside the box, on files fetched with "pachybox get file"'
_FEED = 'remove the pipeline and let the program write to a repo with "pachybox put file"'


def _resources(
    path: str, since: str, status: Status, doc: str, instead: str = ""
) -> tuple[Field, ...]:
    return (
        Field(path, _OBJECT, since, status, doc, instead=instead),
        Field(f"{path}.cpu", Kind.NUMBER, since, status, "cores, in fractions"),
        Field(f"{path}.memory", _QUANTITY, since, status, "bytes, with a suffix"),
        Field(f"{path}.disk", _QUANTITY, since, status, "bytes, with a suffix"),
        Field(f"{path}.gpu", _OBJECT, since, status, "graphics cards"),
        Field(f"{path}.gpu.type", _STR, since, status, "kind of card"),
        Field(f"{path}.gpu.number", _INT, since, status, "how many"),
    )


def _service(path: str, since: str, doc: str) -> tuple[Field, ...]:
    return (
        Field(path, _OBJECT, since, _LATER, doc, instead=_SERVE, by_presence=True),
        Field(f"{path}.internal_port", _INT, since, _LATER, "port the program listens on"),
        Field(f"{path}.external_port", _INT, since, _LATER, "port users connect to"),
        Field(f"{path}.ip", _STR, since, _LATER, "address"),
        Field(f"{path}.type", _STR, since, _LATER, "ClusterIP, LoadBalancer or NodePort"),
        Field(f"{path}.annotations", _MAP, "1", _LATER, "put on the service object"),
    )


def _repo(path: str) -> tuple[Field, ...]:
    return (
        Field(path, _OBJECT, "1 2", _LATER, "its repo"),
        Field(f"{path}.name", _STR, "1 2", _LATER, "name"),
        Field(f"{path}.type", _STR, "2", _LATER, "`user`, `spec` or `meta`"),
        Field(f"{path}.project", _OBJECT, "2", _LATER, "its project"),
        Field(f"{path}.project.name", _STR, "2", _LATER, "name"),
    )


_TOP = (
    Field("pipeline", _OBJECT, "1 2", _BUILT, "which pipeline", "required"),
    Field("pipeline.name", _STR, "1 2", _BUILT, "its name, and its output repo's", "required"),
    Field("pipeline.project", _OBJECT, "2", _BUILT, "where it lives"),
    Field("pipeline.project.name", _STR, "2", _BUILT, "project", "the one of the command"),
    Field("description", _STR, "1 2", _BUILT, "free text"),
    Field("metadata", _OBJECT, "1 2", _BUILT, "labels kept with the pipeline"),
    Field("metadata.annotations", _MAP, "1 2", _BUILT, "free texts by name"),
    Field("metadata.labels", _MAP, "1 2", _BUILT, "free texts by name"),
    Field("transform", _OBJECT, "1 2", _BUILT, "what is run", "required"),
    Field("parallelism_spec", _OBJECT, "1 2", _BUILT, "how many workers"),
    Field("parallelism_spec.constant", _INT, "1 2", _BUILT, "so many", "1"),
    Field(
        "parallelism_spec.coefficient", Kind.NUMBER, "1", _BUILT, "so many per node: there is one"
    ),
    Field("input", _OBJECT, "1 2", _BUILT, "what is read", "required"),
    Field("output_branch", _STR, "1 2", _BUILT, "branch the jobs commit to", "master"),
    Field("datum_timeout", _DURATION, "1 2", _BUILT, "limit of one attempt at a datum"),
    Field("job_timeout", _DURATION, "1 2", _BUILT, "limit of a job from its start"),
    Field("datum_tries", _INT, "1 2", _BUILT, "attempts per datum in a job", "3"),
    Field(
        "reprocess_spec", _STR, "1.13 2", _BUILT, "`until_success`, or `every_job`: skip nothing",
        "until_success", words=("until_success", "every_job"),
    ),
    Field(
        "salt", _STR, "1 2", _BUILT, "part of every datum's hash; a new one reprocesses", "random"
    ),
    Field("update", _BOOL, "1 2", _BUILT, "change the pipeline if it exists"),
    Field("reprocess", _BOOL, "1 2", _BUILT, "with an update: reuse no earlier result"),
    Field("dry_run", _BOOL, "2.8+", _BUILT, "check only, change nothing"),
    Field("enable_stats", _BOOL, "1", _BUILT, "nothing to turn on: statistics are always kept"),
    Field(
        "tf_job", _OBJECT, "1 2", _LATER, "TensorFlow job",
        refusal="embedding TFJobs is not supported", instead="run the program by transform.cmd",
    ),
    Field("tf_job.tf_job", _STR, "1 2", _LATER, "its manifest"),
    Field("hashtree_spec", _OBJECT, "1", _STORED, "shards of the output's metadata"),
    Field("hashtree_spec.constant", _INT, "1", _STORED, "how many"),
    *_resources("resource_requests", "1 2", _STORED, "what a worker asks of the cluster"),
    *_resources(
        "resource_limits", "1 2", _LATER, "hard caps of user code",
        "remove it: a datum may use the whole machine",
    ),
    *_resources("sidecar_resource_limits", "1 2", _STORED, "caps of the storage sidecar"),
    *_resources("sidecar_resource_requests", "2.6+", _STORED, "requests of the storage sidecar"),
    Field(
        "s3_out", _BOOL, "1 2", _LATER, "write output through the S3 gateway",
        instead="remove it and write files to /pfs/out",
    ),
    Field("egress", _OBJECT, "1 2", _BUILT, "copy the output elsewhere"),
    Field("egress.url", _STR, "1 2", _BUILT, "object storage to copy to", also=("URL",)),
    Field("egress.object_storage", _OBJECT, "2", _BUILT, "object storage to copy to"),
    Field("egress.object_storage.url", _STR, "2", _BUILT, "its URL"),
    Field("egress.sql_database", _OBJECT, "2", _BUILT, "database to fill"),
    Field("egress.sql_database.url", _STR, "2", _BUILT, "its URL"),
    Field("egress.sql_database.file_format", _OBJECT, "2", _BUILT, "how rows are written"),
    Field("egress.sql_database.file_format.type", _STR, "2", _BUILT, "CSV, JSON or PARQUET"),
    Field("egress.sql_database.file_format.columns", _STRS, "2", _BUILT, "columns, in order"),
    Field("egress.sql_database.secret", _OBJECT, "2", _BUILT, "the password"),
    Field("egress.sql_database.secret.name", _STR, "2", _BUILT, "secret"),
    Field("egress.sql_database.secret.key", _STR, "2", _BUILT, "key in the secret"),
    Field("standby", _BOOL, "1", _LATER, "stop the workers when idle", instead=_IDLE_WORKERS),
    Field(
        "autoscaling", _BOOL, "1.13 2", _LATER, "as many workers as there is work",
        instead=_IDLE_WORKERS,
    ),
    Field("cache_size", _QUANTITY, "1", _STORED, "cache of the storage sidecar"),
    *_service("service", "1 2", "a program that serves the data"),
    Field(
        "spout", _OBJECT, "1 2", _LATER, "a program that brings data in",
        instead=_FEED, by_presence=True,
    ),
    Field("spout.overwrite", _BOOL, "1", _LATER, "replace files instead of appending"),
    Field("spout.marker", _STR, "1", _LATER, "file that says where to resume"),
    *_service("spout.service", "1 2", "port of the spout"),
    Field(
        "max_queue_size", _INT, "1", _LATER, "datums a worker holds at once", "1",
        instead=_HANDED_OUT,
    ),
    Field("chunk_spec", _OBJECT, "1", _LATER, "datums per unit of work", instead=_HANDED_OUT),
    Field("chunk_spec.number", _INT, "1", _LATER, "so many datums"),
    Field("chunk_spec.size_bytes", _INT, "1", _LATER, "so many bytes"),
    Field("datum_set_spec", _OBJECT, "2", _LATER, "datums per unit of work", instead=_HANDED_OUT),
    Field("datum_set_spec.number", _INT, "2", _LATER, "so many datums"),
    Field("datum_set_spec.size_bytes", _INT, "2", _LATER, "so many bytes"),
    Field("datum_set_spec.per_worker", _INT, "2", _LATER, "so many sets a worker"),
    Field("scheduling_spec", _OBJECT, "1 2", _STORED, "where in the cluster to run"),
    Field("scheduling_spec.node_selector", _MAP, "1 2", _STORED, "labels of nodes"),
    Field("scheduling_spec.priority_class_name", _STR, "1 2", _STORED, "priority class"),
    Field("tolerations", _OBJECTS, "2.5+", _STORED, "taints of nodes to put up with"),
    Field("tolerations[].key", _STR, "2.5+", _STORED, "taint"),
    Field(
        "tolerations[].operator", _STR, "2.5+", _STORED, "EXISTS or EQUAL",
        words=("EXISTS", "EQUAL", "EMPTY"),
    ),
    Field("tolerations[].value", _STR, "2.5+", _STORED, "value of the taint"),
    Field(
        "tolerations[].effect", _STR, "2.5+", _STORED, "effect of the taint",
        words=("NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE", "ALL_EFFECTS"),
    ),
    Field("tolerations[].toleration_seconds", _INT, "2.5+", _STORED, "for how long"),
    Field("pod_spec", Kind.JSON, "1 2", _STORED, "merge patch of the worker pod"),
    Field(
        "pod_patch", Kind.JSON, "1 2", _LATER, "JSON patch of the worker pod",
        instead="remove it: there is no pod on this machine to patch",
    ),
    Field(
        "spec_commit", _OBJECT, "1 2", _LATER, "commit of the spec when restoring",
        refusal="may not be set by users",
        instead="remove it: the box makes that commit itself",
    ),
    Field("spec_commit.id", _STR, "1 2", _LATER, "its id"),
    *_repo("spec_commit.repo"),
    Field("spec_commit.branch", _OBJECT, "2", _LATER, "its branch"),
    Field("spec_commit.branch.name", _STR, "2", _LATER, "name"),
    *_repo("spec_commit.branch.repo"),
    Field("determined", _OBJECT, "2.7+", _STORED, "Determined integration"),
    Field("determined.workspaces", _STRS, "2.7+", _STORED, "its workspaces"),
    Field("maximum_expected_uptime", _DURATION, "2.9+", _STORED, "alert on workers up for longer"),
)  # fmt: skip

_TRANSFORM = (
    Field("transform.image", _STR, "1 2", _BUILT, "container image; left out: this machine"),
    Field("transform.cmd", _STRS, "1 2", _BUILT, "program and arguments, no shell", "required"),
    Field("transform.stdin", _STRS, "1 2", _BUILT, "lines fed to cmd"),
    Field("transform.err_cmd", _STRS, "1 2", _BUILT, "run after the last failed attempt"),
    Field("transform.err_stdin", _STRS, "1 2", _BUILT, "lines fed to err_cmd"),
    Field("transform.env", _MAP, "1 2", _BUILT, "further environment variables"),
    Field("transform.accept_return_code", Kind.INTS, "1 2", _BUILT, "exit codes that are success"),
    Field("transform.debug", _BOOL, "1 2", _BUILT, "nothing to turn on: the log has all"),
    Field("transform.user", _STR, "1 2", _BUILT, "`name[:group]` or `uid[:gid]`"),
    Field("transform.working_dir", _STR, "1 2", _BUILT, "where cmd starts"),
    Field("transform.secrets", _OBJECTS, "1 2", _BUILT, "secrets as files or variables"),
    Field("transform.secrets[].name", _STR, "1 2", _BUILT, "secret"),
    Field("transform.secrets[].key", _STR, "1 2", _BUILT, "key in the secret"),
    Field("transform.secrets[].mount_path", _STR, "1 2", _BUILT, "directory for its keys"),
    Field("transform.secrets[].env_var", _STR, "1 2", _BUILT, "variable for its key"),
    Field("transform.image_pull_secrets", _STRS, "1 2", _STORED, "registry credentials"),
    Field(
        "transform.dockerfile", _STR, "1 2", _LATER, "Dockerfile to build the image from",
        instead="remove it and name a program of this machine in transform.cmd",
    ),
    Field(
        "transform.build", _OBJECT, "1.11-1.13", _LATER, "run source code without an image",
        instead="remove it and name a program of this machine in transform.cmd",
    ),
    Field("transform.build.path", _STR, "1.11-1.13", _LATER, "directory of the source"),
    Field("transform.build.language", _STR, "1.11-1.13", _LATER, "`python` or `go`"),
    Field("transform.build.image", _STR, "1.11-1.13", _LATER, "builder image"),
    Field(
        "transform.memory_volume", _BOOL, "2.4+", _LATER, "/pfs in memory",
        instead="remove it: /pfs is on disk",
    ),
    Field(
        "transform.datum_batching", _BOOL, "2.5+", _LATER, "start user code once for many datums",
        instead="remove it and let cmd work on one datum",
    ),
)  # fmt: skip

_INPUT = (
    Field("input.pfs", _OBJECT, "1 2", _BUILT, "files of a repo"),
    Field("input.pfs.name", _STR, "1 2", _BUILT, "directory under /pfs", "the repo's"),
    Field("input.pfs.project", _STR, "2.5+", _BUILT, "project of the repo", "the pipeline's"),
    Field("input.pfs.repo", _STR, "1 2", _BUILT, "repo", "required"),
    Field(
        "input.pfs.repo_type", _STR, "2", _LATER, "`user`; others are not built", "user",
        instead="remove it: only user repos can be read",
    ),
    Field("input.pfs.branch", _STR, "1 2", _BUILT, "branch watched", "master"),
    Field(
        "input.pfs.commit", _STR, "1 2", _LATER, "filled in by the system",
        refusal="may not be set by users",
        instead="remove it: each job reads the commit of the branch",
    ),
    Field("input.pfs.glob", _STR, "1 2", _BUILT, "one datum per path matched", "required"),
    Field("input.pfs.empty_files", _BOOL, "1 2", _BUILT, "show names only, files empty"),
    Field(
        "input.pfs.join_on", _STR, "1 2", _LATER, "key of a join",
        instead="remove it: it works only inside a join or a group",
    ),
    Field(
        "input.pfs.outer_join", _BOOL, "1.12+", _LATER, "keep files without a match",
        instead="remove it: it works only inside a join or a group",
    ),
    Field(
        "input.pfs.group_by", _STR, "1.12+", _LATER, "key of a group",
        instead="remove it: it works only inside a join or a group",
    ),
    Field(
        "input.pfs.lazy", _BOOL, "1 2", _LATER, "fetch files when opened",
        instead="remove it: files are there in full when cmd starts",
    ),
    Field(
        "input.pfs.s3", _BOOL, "1.10+", _LATER, "read through the S3 gateway",
        instead="remove it and read the files under /pfs",
    ),
    Field(
        "input.pfs.trigger", _OBJECT, "1.12+", _LATER, "when a commit is worth a job",
        instead='remove it and read a branch made with "pachybox create branch --trigger"',
    ),
    Field("input.pfs.trigger.branch", _STR, "1.12+", _LATER, "branch watched"),
    Field("input.pfs.trigger.all", _BOOL, "1.12+", _LATER, "all conditions, not any"),
    Field("input.pfs.trigger.cron_spec", _STR, "1.12+", _LATER, "on a schedule"),
    Field("input.pfs.trigger.rate_limit_spec", _STR, "2.6+", _LATER, "at most on a schedule"),
    Field("input.pfs.trigger.size", _STR, "1.12+", _LATER, "after so many new bytes"),
    Field("input.pfs.trigger.commits", _INT, "1.12+", _LATER, "after so many commits"),
    Field(
        "input.pfs.propagation_spec", _OBJECT, "2.12", _LATER, "whether changes start jobs",
        instead='remove it and read a branch that you move with "pachybox create branch"',
    ),
    Field("input.pfs.propagation_spec.never", _BOOL, "2.12", _LATER, "they do not"),
    Field(
        "input.pfs.reference", _BOOL, "2.12", _LATER, "changes do not reprocess",
        instead="remove it: a change of this input reprocesses its datums",
    ),
    Field("input.cross", _INPUTS, "1 2", _LATER, "every combination", instead=_ONE_REPO),
    Field("input.union", _INPUTS, "1 2", _LATER, "one after the other", instead=_ONE_REPO),
    Field("input.join", _INPUTS, "1 2", _LATER, "files with the same key", instead=_ONE_REPO),
    Field("input.group", _INPUTS, "1.12+", _LATER, "all files of a key", instead=_ONE_REPO),
    Field(
        "input.cron", _OBJECT, "1 2", _LATER, "ticks of a clock",
        instead="put a file into a repo on a schedule and read it by input.pfs",
    ),
    Field("input.cron.name", _STR, "1 2", _LATER, "directory under /pfs"),
    Field("input.cron.spec", _STR, "1 2", _LATER, "schedule"),
    Field("input.cron.project", _STR, "2", _LATER, "project of the repo"),
    Field("input.cron.repo", _STR, "1 2", _LATER, "repo of the ticks"),
    Field("input.cron.start", _STR, "1 2", _LATER, "first tick"),
    Field("input.cron.overwrite", _BOOL, "1 2", _LATER, "keep the last tick only"),
    Field("input.cron.commit", _STR, "1 2", _LATER, "filled in by the system"),
    Field(
        "input.git", _OBJECT, "1", _LATER, "a git repository",
        instead='put the files into a repo with "pachybox put file -r" and read it by input.pfs',
    ),
    Field("input.git.name", _STR, "1", _LATER, "directory under /pfs"),
    Field("input.git.url", _STR, "1", _LATER, "where it is", also=("URL",)),
    Field("input.git.branch", _STR, "1", _LATER, "branch watched"),
    Field("input.git.commit", _STR, "1", _LATER, "filled in by the system"),
)  # fmt: skip

FIELDS: tuple[Field, ...] = (*_TOP, *_TRANSFORM, *_INPUT)
"""Every field, parents before their children."""

INPUT_TYPES = ("pfs", "cross", "union", "join", "group", "cron", "git")


def _by_parent() -> dict[str, dict[str, Field]]:
    found: dict[str, dict[str, Field]] = {}
    for field in FIELDS:
        for spelling in field.spellings:
            found.setdefault(field.parent, {})[spelling] = field
    return found


_CHILDREN = _by_parent()
_BY_PATH = {field.path: field for field in FIELDS}


def children(parent: str) -> Mapping[str, Field]:
    """The fields of an object of the table (``""``: the top) by every accepted spelling."""
    return _CHILDREN.get(parent, {})


def inside(field: Field, status: Status) -> bool:
    """Whether a field is in an object of that status, which then speaks for it."""
    above = _BY_PATH.get(field.parent.removesuffix("[]"))
    return above is not None and above.status is status
