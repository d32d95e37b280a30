"""The one table of spec fields: every field of Pachyderm 1.11 to 2.12, and what the box does.

The checks, the suggestions for misspelt names and docs/spec.md all come from it. A path
ending in ``[]`` is an item of a list. Values only; no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping

from pachybox.pps.spec.field import Field, Kind, Status, camel
from pachybox.pps.spec.input_fields import INPUT, INPUT_TYPES

__all__ = ["FIELDS", "INPUT_TYPES", "Field", "Kind", "Status", "camel", "children", "inside"]

_BUILT, _STORED, _LATER = Status.BUILT, Status.NO_MEANING, Status.LATER
_CLUSTER = Status.CLUSTER
_STR, _STRS, _INT, _BOOL = Kind.STRING, Kind.STRINGS, Kind.INT, Kind.BOOL
_OBJECT, _OBJECTS, _MAP = Kind.OBJECT, Kind.OBJECTS, Kind.MAP
_DURATION, _QUANTITY, _INPUTS = Kind.DURATION, Kind.QUANTITY, Kind.INPUTS


def _resources(path: str, since: str, status: Status, doc: str) -> tuple[Field, ...]:
    """What only a cluster can make use of."""
    return (
        Field(path, _OBJECT, since, status, doc),
        Field(f"{path}.cpu", Kind.NUMBER, since, status, "cores, in fractions"),
        Field(f"{path}.memory", _QUANTITY, since, status, "bytes, with a suffix"),
        Field(f"{path}.disk", _QUANTITY, since, status, "bytes, with a suffix"),
        Field(f"{path}.gpu", _OBJECT, since, status, "graphics cards"),
        Field(f"{path}.gpu.type", _STR, since, status, "kind of card"),
        Field(f"{path}.gpu.number", _INT, since, status, "how many"),
    )


_LIMITS = (
    Field("resource_limits", _OBJECT, "1 2", _BUILT, "hard caps of user code"),
    Field("resource_limits.cpu", Kind.NUMBER, "1 2", _BUILT, "cores, in fractions"),
    Field("resource_limits.memory", _QUANTITY, "1 2", _BUILT, "bytes, with a suffix"),
    Field(
        "resource_limits.pids", _INT, "pachybox", _BUILT, "processes and threads at once", "4096"
    ),
    Field(
        "resource_limits.shm", _QUANTITY, "pachybox", _BUILT,
        "bytes of /dev/shm in a container; processes have the machine's", "64M",
    ),
    Field(
        "resource_limits.disk", _QUANTITY, "1 2", _CLUSTER,
        "bytes, with a suffix, beside /pfs; enforced in a cluster alone",
        warning="is not enforced without a cluster: a datum may use all the room there is; it is "
        "kept",
    ),
    Field(
        "resource_limits.gpu", _OBJECT, "1 2", _BUILT,
        "graphics cards: refused where the machine has none; a cluster waits for them",
    ),
    Field(
        "resource_limits.gpu.type", _STR, "1 2", _BUILT, "kind of card: a resource of the cluster",
        "nvidia.com/gpu",
    ),
    Field("resource_limits.gpu.number", _INT, "1 2", _BUILT, "how many"),
)  # fmt: skip

_SERVICE = (
    Field(
        "service", _OBJECT, "1 2", _BUILT, "a program that serves the data", by_presence=True
    ),
    Field(
        "service.internal_port", _INT, "1 2", _BUILT,
        "port the program listens on, one of this machine's; in a Pod, of its own", "required",
    ),
    Field(
        "service.external_port", _INT, "1 2", _BUILT,
        "port users connect to on 127.0.0.1; the same: the program's own", "internal_port",
    ),
    Field(
        "service.ip", _STR, "1 2", _STORED, "address: loopback, or the cluster's",
        warning="has no effect: the port is published on the loopback address",
    ),
    Field(
        "service.type", _STR, "1 2", _BUILT,
        "all are published on loopback; in a cluster, the type of the Service",
        "NodePort, or ClusterIP where the port is none of a node",
        words=("ClusterIP", "LoadBalancer", "NodePort"),
    ),
    Field("service.annotations", _MAP, "1", _CLUSTER, "put on the Service"),
)  # fmt: skip

_SPOUT = (
    Field(
        "spout", _OBJECT, "1 2", _BUILT,
        "a program that never ends and brings data in, see docs/ingest.md", by_presence=True,
    ),
    Field(
        "spout.overwrite", _BOOL, "1", _BUILT,
        "what comes through /pfs/out replaces files of the same name; false: is appended to them",
    ),
    Field(
        "spout.marker", _STR, "1", _BUILT,
        "name in the stream whose content says where to resume: the last is at /pfs/NAME",
    ),
    Field("spout.service", _OBJECT, "1 2", _BUILT, "port of the spout", by_presence=True),
    Field(
        "spout.service.internal_port", _INT, "1 2", _BUILT,
        "port the program listens on, one of this machine's; in a Pod, of its own", "required",
    ),
    Field(
        "spout.service.external_port", _INT, "1 2", _BUILT,
        "port users connect to on 127.0.0.1; the same: the program's own", "internal_port",
    ),
    Field(
        "spout.service.ip", _STR, "1 2", _STORED, "address: loopback, or the cluster's",
        warning="has no effect: the port is published on the loopback address",
    ),
    Field(
        "spout.service.type", _STR, "1 2", _BUILT,
        "all are published on loopback; in a cluster, the type of the Service",
        "NodePort, or ClusterIP where the port is none of a node",
        words=("ClusterIP", "LoadBalancer", "NodePort"),
    ),
    Field("spout.service.annotations", _MAP, "1", _CLUSTER, "put on the Service"),
)  # fmt: skip

_EGRESS = (
    Field("egress", _OBJECT, "1 2", _BUILT, "copy the output elsewhere"),
    Field("egress.url", _STR, "1 2", _BUILT, "`s3://`, `gs://` or `file://`", also=("URL",)),
    Field("egress.object_storage", _OBJECT, "2", _BUILT, "object storage to copy to"),
    Field("egress.object_storage.url", _STR, "2", _BUILT, "`s3://`, `gs://` or `file://`"),
    Field("egress.sql_database", _OBJECT, "2", _BUILT, "database to fill"),
    Field(
        "egress.sql_database.url", _STR, "2", _BUILT,
        "`postgresql://`, `sqlite://` or `duckdb://`",
    ),
    Field("egress.sql_database.file_format", _OBJECT, "2", _BUILT, "how rows are written"),
    Field(
        "egress.sql_database.file_format.type", _STR, "2", _BUILT, "CSV, JSON or PARQUET", "CSV",
        words=("CSV", "JSON", "PARQUET"),
    ),
    Field(
        "egress.sql_database.file_format.columns", _STRS, "2", _BUILT,
        "columns, in order: files of CSV begin with a header",
    ),
    Field("egress.sql_database.secret", _OBJECT, "2", _BUILT, "the password"),
    Field("egress.sql_database.secret.name", _STR, "2", _BUILT, "secret"),
    Field("egress.sql_database.secret.key", _STR, "2", _BUILT, "key in the secret",
        "PACHYDERM_SQL_PASSWORD",
    ),
)  # fmt: skip


def _units(path: str, since: str) -> tuple[Field, ...]:
    return (
        Field(
            path,
            _OBJECT,
            since,
            _BUILT,
            "with datum_batching: the datums that user code is started once for; without it "
            "workers take one datum after the other, which shares work better",
        ),
        Field(f"{path}.number", _INT, since, _BUILT, "so many datums"),
        Field(f"{path}.size_bytes", _INT, since, _BUILT, "until they have so many bytes of input"),
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
        "parallelism_spec.coefficient", Kind.NUMBER, "1", _BUILT,
        "so many times the cores of the machine",
    ),
    Field("input", _OBJECT, "1 2", _BUILT, "what is read", "required but by a spout"),
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
    *_resources("resource_requests", "1 2", _CLUSTER, "what a worker asks of the cluster"),
    *_LIMITS,
    *_resources("sidecar_resource_limits", "1 2", _STORED, "caps of the storage sidecar"),
    *_resources("sidecar_resource_requests", "2.6+", _STORED, "requests of the storage sidecar"),
    Field(
        "s3_out", _BOOL, "1 2", _BUILT,
        "output goes by S3 (`$S3_ENDPOINT`, bucket `out`), not to /pfs/out; nothing is skipped",
    ),
    *_EGRESS,
    Field("standby", _BOOL, "1", _BUILT, "the older name of autoscaling"),
    Field("autoscaling", _BOOL, "1.13 2", _BUILT, "no workers while there is no work"),
    Field("cache_size", _QUANTITY, "1", _STORED, "cache of the storage sidecar"),
    *_SERVICE,
    *_SPOUT,
    Field(
        "max_queue_size", _INT, "1", _BUILT,
        "1: the next datum is laid out when the one before is done; else one datum ahead", "2",
    ),
    *_units("chunk_spec", "1"),
    *_units("datum_set_spec", "2"),
    Field(
        "datum_set_spec.per_worker", _INT, "2", _BUILT, "so many sets a worker, of equal number",
        "4",
    ),
    Field("scheduling_spec", _OBJECT, "1 2", _CLUSTER, "where in the cluster to run"),
    Field("scheduling_spec.node_selector", _MAP, "1 2", _CLUSTER, "labels of nodes"),
    Field("scheduling_spec.priority_class_name", _STR, "1 2", _CLUSTER, "priority class"),
    Field("tolerations", _OBJECTS, "2.5+", _CLUSTER, "taints of nodes to put up with"),
    Field("tolerations[].key", _STR, "2.5+", _CLUSTER, "taint"),
    Field(
        "tolerations[].operator", _STR, "2.5+", _CLUSTER, "EXISTS or EQUAL",
        words=("EXISTS", "EQUAL", "EMPTY"),
    ),
    Field("tolerations[].value", _STR, "2.5+", _CLUSTER, "value of the taint"),
    Field(
        "tolerations[].effect", _STR, "2.5+", _CLUSTER, "effect of the taint",
        words=("NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE", "ALL_EFFECTS"),
    ),
    Field("tolerations[].toleration_seconds", _INT, "2.5+", _CLUSTER, "for how long"),
    Field(
        "pod_spec", Kind.JSON, "1 2", _CLUSTER, "merge patch (RFC 7396) of the `spec` of its Pods"
    ),
    Field("pod_patch", Kind.JSON, "1 2", _CLUSTER, "patch (RFC 6902) of it, after pod_spec"),
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
    Field(
        "output_merge", _STR, "pachybox", _BUILT,
        "a path written by several datums: `error`, or `concatenate` in the order of datum ids, "
        "as 1.x does", "error", words=("error", "concatenate"),
    ),
    Field(
        "reprocess_on_code_change", _BOOL, "pachybox", _BUILT,
        "an update that changes transform reuses no earlier result",
    ),
)  # fmt: skip

_TRANSFORM = (
    Field("transform.image", _STR, "1 2", _BUILT, "container image; left out: this machine"),
    Field("transform.cmd", _STRS, "1 2", _BUILT, "program and arguments, no shell", "required"),
    Field("transform.stdin", _STRS, "1 2", _BUILT, "lines fed to cmd"),
    Field("transform.err_cmd", _STRS, "1 2", _BUILT, "run after the last failed attempt"),
    Field("transform.err_stdin", _STRS, "1 2", _BUILT, "lines fed to err_cmd"),
    Field("transform.env", _MAP, "1 2", _BUILT, "further environment variables"),
    Field("transform.accept_return_code", Kind.INTS, "1 2", _BUILT, "exit codes that are success"),
    Field("transform.debug", _BOOL, "1 2", _BUILT, "logs each command of `build` scripts"),
    Field("transform.user", _STR, "1 2", _BUILT, "`name[:group]` or `uid[:gid]`"),
    Field("transform.working_dir", _STR, "1 2", _BUILT, "where cmd starts"),
    Field("transform.secrets", _OBJECTS, "1 2", _BUILT, "secrets as files or variables"),
    Field("transform.secrets[].name", _STR, "1 2", _BUILT, "secret", "required"),
    Field("transform.secrets[].key", _STR, "1 2", _BUILT, "key in the secret, for env_var"),
    Field("transform.secrets[].mount_path", _STR, "1 2", _BUILT, "directory for its keys"),
    Field("transform.secrets[].env_var", _STR, "1 2", _BUILT, "variable for its key"),
    Field("transform.image_pull_secrets", _STRS, "1 2", _BUILT, "secrets with registry logins"),
    Field(
        "transform.dockerfile", _STR, "1 2", _BUILT,
        "what `--build` builds the image from, see docs/images.md",
        "`Containerfile` or `Dockerfile`",
    ),
    Field(
        "transform.build", _OBJECT, "1.11-1.13", _BUILT,
        "run source code without an image, see docs/build-pipelines.md", by_presence=True,
    ),
    Field("transform.build.path", _STR, "1.11-1.13", _BUILT, "directory of the source", "`.`"),
    Field("transform.build.language", _STR, "1.11-1.13", _BUILT, "`python` or `shell`"),
    Field("transform.build.image", _STR, "1.11-1.13", _BUILT, "builder image, without language"),
    Field(
        "transform.memory_volume", _BOOL, "2.4+", _BUILT,
        "/pfs in memory: nothing to turn on, small inputs are there anyway",
    ),
    Field(
        "transform.datum_batching", _BOOL, "2.5+", _BUILT,
        "start user code once: it asks for datum after datum",
    ),
)  # fmt: skip

FIELDS: tuple[Field, ...] = (*_TOP, *_TRANSFORM, *INPUT)
"""Every field, parents before their children."""


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
