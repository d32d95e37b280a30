"""The fields of an input. They nest: what is in a list of inputs has the same fields."""

from __future__ import annotations

from pachybox.pps.spec.field import Field, Kind, Status

_BUILT, _LATER = Status.BUILT, Status.LATER
_STR, _INT, _BOOL, _OBJECT = Kind.STRING, Kind.INT, Kind.BOOL, Kind.OBJECT
_INPUTS = Kind.INPUTS

_PFS = (
    Field("input.pfs", _OBJECT, "1 2", _BUILT, "files of a repo", by_presence=True),
    Field("input.pfs.name", _STR, "1 2", _BUILT, "directory under /pfs", "the repo's"),
    Field("input.pfs.project", _STR, "2.5+", _BUILT, "project of the repo", "the pipeline's"),
    Field("input.pfs.repo", _STR, "1 2", _BUILT, "repo", "required"),
    Field(
        "input.pfs.repo_type", _STR, "2", _LATER, "`user`; `meta` is refused", "user",
        refusal="only user repos can be read",
        instead='remove it; "pachybox list datum" shows what a meta repo holds',
    ),
    Field(
        "input.pfs.branch", _STR, "1 2", _BUILT, "branch watched",
        "master, or with trigger PIPELINE-trigger-N",
    ),
    Field(
        "input.pfs.commit", _STR, "1 2", _LATER, "filled in by the system",
        refusal="may not be set by users",
        instead="remove it: each job reads the commit of the branch",
    ),
    Field("input.pfs.glob", _STR, "1 2", _BUILT, "one datum per path matched", "required"),
    Field("input.pfs.join_on", _STR, "1 2", _BUILT, "in a join: key, with captures (`$1`)"),
    Field("input.pfs.outer_join", _BOOL, "1.12+", _BUILT, "in a join: keep files without a match"),
    Field("input.pfs.group_by", _STR, "1.12+", _BUILT, "in a group: key, with captures (`$1`)"),
    Field(
        "input.pfs.lazy", _BOOL, "1 2", _BUILT,
        "nothing to turn on: inputs are shown without copying, as ordinary files",
    ),
    Field("input.pfs.empty_files", _BOOL, "1 2", _BUILT, "show names only, files empty"),
    Field(
        "input.pfs.s3", _BOOL, "1.10+", _BUILT,
        "read by S3 (`$S3_ENDPOINT`, bucket of the input's name), not under /pfs",
    ),
    Field(
        "input.pfs.trigger", _OBJECT, "1.12+", _BUILT, "when a commit is worth a job",
        by_presence=True,
    ),
    Field("input.pfs.trigger.branch", _STR, "1.12+", _BUILT, "branch watched", "master"),
    Field("input.pfs.trigger.all", _BOOL, "1.12+", _BUILT, "all conditions, not any"),
    Field("input.pfs.trigger.cron_spec", _STR, "1.12+", _BUILT, "on a schedule"),
    Field("input.pfs.trigger.rate_limit_spec", _STR, "2.6+", _BUILT, "at most on a schedule"),
    Field("input.pfs.trigger.size", _STR, "1.12+", _BUILT, "after so many new bytes"),
    Field("input.pfs.trigger.commits", _INT, "1.12+", _BUILT, "after so many commits"),
    Field("input.pfs.propagation_spec", _OBJECT, "2.12", _BUILT, "whether changes start jobs"),
    Field("input.pfs.propagation_spec.never", _BOOL, "2.12", _BUILT, "they do not"),
    Field("input.pfs.reference", _BOOL, "2.12", _BUILT, "changes do not reprocess"),
)  # fmt: skip

_CRON = (
    Field("input.cron", _OBJECT, "1 2", _BUILT, "ticks of a clock", by_presence=True),
    Field("input.cron.name", _STR, "1 2", _BUILT, "directory under /pfs", "required"),
    Field(
        "input.cron.spec", _STR, "1 2", _BUILT,
        "schedule: five fields, `@hourly` and the like, `@every 90s`, `@never`", "required",
    ),
    Field(
        "input.cron.timezone", _STR, "pachybox", _BUILT,
        "zone in which `spec` is read, like `Europe/Berlin`", "the machine's",
    ),
    Field("input.cron.project", _STR, "2", _BUILT, "project of the repo", "the pipeline's"),
    Field("input.cron.repo", _STR, "1 2", _BUILT, "repo of the ticks", "PIPELINE_NAME"),
    Field("input.cron.start", _STR, "1 2", _BUILT, "ticks come after this time", "now"),
    Field("input.cron.overwrite", _BOOL, "1 2", _BUILT, "keep the last tick only"),
    Field(
        "input.cron.coalesce", _BOOL, "pachybox", _BUILT,
        "of the ticks missed while the box was down make the last only",
    ),
    Field(
        "input.cron.commit", _STR, "1 2", _LATER, "filled in by the system",
        refusal="may not be set by users",
        instead="remove it: each job reads the newest ticks",
    ),
)  # fmt: skip

_GIT = (
    Field(
        "input.git", _OBJECT, "1", _LATER, "a git repository",
        instead='put the files into a repo with "pachybox put file -r" and read it by input.pfs',
    ),
    Field("input.git.name", _STR, "1", _LATER, "directory under /pfs"),
    Field("input.git.url", _STR, "1", _LATER, "where it is", also=("URL",)),
    Field("input.git.branch", _STR, "1", _LATER, "branch watched"),
    Field("input.git.commit", _STR, "1", _LATER, "filled in by the system"),
)  # fmt: skip

INPUT: tuple[Field, ...] = (
    *_PFS,
    Field("input.cross", _INPUTS, "1 2", _BUILT, "every combination; lists nest in any depth"),
    Field("input.union", _INPUTS, "1 2", _BUILT, "one after the other"),
    Field("input.join", _INPUTS, "1 2", _BUILT, "files with the same key"),
    Field("input.group", _INPUTS, "1.12+", _BUILT, "all files of a key"),
    *_CRON,
    *_GIT,
)
"""Parents before their children."""

INPUT_TYPES = ("pfs", "cross", "union", "join", "group", "cron", "git")

LISTS = ("cross", "union", "join", "group")
"""The types that are lists of inputs."""
