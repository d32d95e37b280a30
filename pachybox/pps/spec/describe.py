"""The fields of a spec in words, for whoever writes one: help, an example, the words it may be.

Beside the table of fields, whose texts are the rows of docs/spec.md; this is a sentence or two.
"""

from __future__ import annotations

from dataclasses import dataclass

from pachybox.pps.spec.fields import FIELDS, Field, Kind, Status
from pachybox.pps.spec.page import TYPES


@dataclass(frozen=True, slots=True)
class Described:
    """One field. ``status`` is works, stored (kept without an effect) or refused."""

    path: str
    type: str
    default: str
    help: str
    example: str
    choices: tuple[str, ...] = ()
    status: str = Status.BUILT.value


def describe() -> list[Described]:
    """Every field of a pipeline's spec, parents before their children."""
    return [_described(field) for field in FIELDS]


def _described(field: Field) -> Described:
    text, example = _HELP.get(field.path) or _HELP.get(_same(field.path)) or ("", "")
    choices = field.words or _CHOICES.get(field.path, ())
    known = choices and field.kind is Kind.STRING
    if field.kind is Kind.BOOL:
        choices = ("true", "false")
    return Described(
        field.path,
        TYPES[field.kind],
        field.default,
        text or _sentence(field),
        example or (f'"{choices[0]}"' if known else _EXAMPLES[field.kind]),
        tuple(choices),
        field.status.value,
    )


def _same(path: str) -> str:
    """The path of another field that is like this one."""
    if path.startswith("spout.service."):
        return path.removeprefix("spout.")
    return path.replace("chunk_spec", "datum_set_spec")


def _sentence(field: Field) -> str:
    """What the table says, as a sentence, and what becomes of it here."""
    text = f"{field.doc[0].upper()}{field.doc[1:]}."
    if field.status is Status.NO_MEANING:
        return f"{text} {_STORED}"
    if field.status is Status.CLUSTER:
        return f"{text} {_CLUSTER}"
    if field.status is Status.LATER:
        why = field.refusal or "not built in this version of pachybox"
        instead = f": {field.instead}" if field.instead else ""
        return f"{text} Refused: {why}{instead}."
    return text


_CLUSTER = "It works with the runner kubernetes; with another it is kept and has no effect."
_STORED = "It is kept with the pipeline and has no effect on one machine."

_EXAMPLES = {
    Kind.STRING: '"text"',
    Kind.STRINGS: '["a", "b"]',
    Kind.INT: "1",
    Kind.INTS: "[0, 2]",
    Kind.NUMBER: "1.5",
    Kind.BOOL: "true",
    Kind.DURATION: '"5m"',
    Kind.QUANTITY: '"512M"',
    Kind.JSON: '"{}"',
    Kind.MAP: '{"name": "value"}',
    Kind.OBJECT: "{}",
    Kind.OBJECTS: "[{}]",
    Kind.INPUTS: '[{"pfs": {"repo": "a", "glob": "/*"}}, {"pfs": {"repo": "b", "glob": "/"}}]',
}

_CHOICES = {
    "transform.build.language": ("python", "shell"),
    "input.pfs.repo_type": ("user",),
}

_PATHS = "The glob may capture parts of the path in round brackets."

_HELP: dict[str, tuple[str, str]] = {
    "pipeline": ("Which pipeline this is the spec of.", '{"name": "edges"}'),
    "pipeline.name": (
        "The name of the pipeline, and of the repo that its output goes to: letters, digits, "
        "underscores and dashes.",
        '"edges"',
    ),
    "pipeline.project": ("The project it lives in.", '{"name": "vision"}'),
    "pipeline.project.name": (
        "The name of the project; left out, the project of the command that makes it.",
        '"vision"',
    ),
    "description": ("What it is for, in your own words. Lists show it.", '"finds edges"'),
    "metadata": ("Texts that are kept with the pipeline.", '{"labels": {"team": "vision"}}'),
    "metadata.annotations": ("Free texts by name.", '{"owner": "ann"}'),
    "metadata.labels": ("Free texts by name, short ones.", '{"team": "vision"}'),
    "transform": (
        "What is run for each datum, and in what surroundings.",
        '{"cmd": ["python3", "edges.py"]}',
    ),
    "parallelism_spec": ("How many workers take datums at a time.", '{"constant": 4}'),
    "parallelism_spec.constant": ("So many workers.", "4"),
    "parallelism_spec.coefficient": ("So many workers for each core of the machine.", "0.5"),
    "input": (
        "What is read: one of pfs (files of a repo), cron (a clock), or a list of inputs by cross, "
        "union, join or group.",
        '{"pfs": {"repo": "images", "glob": "/*"}}',
    ),
    "output_branch": ("The branch of its own repo that jobs commit to.", '"master"'),
    "datum_timeout": (
        "How long one attempt at a datum may take; then it is killed and counts as failed.",
        '"10m"',
    ),
    "job_timeout": (
        "How long a job may take from its start; then it is killed.", '"1h30m"'
    ),
    "datum_tries": ("How often a datum is tried in a job before it has failed.", "3"),
    "reprocess_spec": (
        "until_success skips datums that an earlier job has done, every_job runs all again.",
        '"every_job"',
    ),
    "salt": (
        "A part of every datum's hash. A new one makes all datums new, so that they run again.",
        '"2026-07"',
    ),
    "update": ("Change the pipeline where there is one of this name, as `update pipeline` does.",
               "true"),
    "reprocess": ("With an update: use no result of an earlier job again.", "true"),
    "dry_run": ("Check only: nothing is made or changed.", "true"),
    "enable_stats": ("Nothing to turn on: statistics of datums are always kept.", "true"),
    "resource_limits": ("Caps that user code cannot exceed.", '{"memory": "2G", "cpu": 2}'),
    "resource_limits.cpu": ("How many cores each worker may use, in fractions.", "1.5"),
    "resource_limits.memory": (
        "How much memory each worker may use; a program that wants more is killed.", '"2G"'
    ),
    "resource_limits.pids": ("How many processes and threads there may be at once.", "4096"),
    "resource_limits.shm": (
        "How large /dev/shm is in a container. Processes without one have the machine's.", '"64M"'
    ),
    "resource_limits.gpu": (
        "Graphics cards. Refused where the machine has too few.", '{"type": "nvidia.com/gpu", '
        '"number": 1}',
    ),
    "resource_limits.gpu.type": ("The kind of card.", '"nvidia.com/gpu"'),
    "resource_limits.gpu.number": ("How many cards.", "1"),
    "s3_out": (
        "Output is written by S3 to the bucket `out` at $S3_ENDPOINT instead of /pfs/out. No datum "
        "is skipped then.",
        "true",
    ),
    "egress": (
        "Where finished output is copied to: a bucket, a directory or a database.",
        '{"url": "s3://bucket/edges"}',
    ),
    "egress.url": (
        "Where files are copied to: an s3://, gs:// or file:// address.", '"s3://bucket/edges"'
    ),
    "egress.object_storage": (
        "The same as egress.url, in its longer form.", '{"url": "s3://bucket/edges"}'
    ),
    "egress.object_storage.url": (
        "Where files are copied to: an s3://, gs:// or file:// address.", '"s3://bucket/edges"'
    ),
    "egress.sql_database": (
        "A database whose tables are filled from the output.",
        '{"url": "sqlite:///data/out.db", "file_format": {"type": "CSV"}}',
    ),
    "egress.sql_database.url": (
        "The database: a postgresql://, sqlite:// or duckdb:// address.",
        '"postgresql://user@host:5432/name"',
    ),
    "egress.sql_database.file_format": (
        "How rows are written in the output's files.", '{"type": "CSV", "columns": ["id", "x"]}'
    ),
    "egress.sql_database.file_format.type": ("The format of the files.", '"CSV"'),
    "egress.sql_database.file_format.columns": (
        "The columns that are filled, in order. Files of CSV begin with a header.", '["id", "x"]'
    ),
    "egress.sql_database.secret": (
        "The secret that has the database's password.", '{"name": "db", "key": "password"}'
    ),
    "egress.sql_database.secret.name": ("The name of the secret.", '"db"'),
    "egress.sql_database.secret.key": ("The key of the secret that has the password.",
                                       '"password"'),
    "standby": ("The older name of autoscaling.", "true"),
    "autoscaling": ("Keep no workers while there is no work.", "true"),
    "service": (
        "Makes it a service: a program that goes on and serves the data of its one datum.",
        '{"internal_port": 8080}',
    ),
    "service.internal_port": ("The port that the program listens on.", "8080"),
    "service.external_port": (
        "The port that users connect to, on 127.0.0.1; left out, the program's own.", "8080"
    ),
    "service.type": ("Any of these: all are published on the loopback address.", '"NodePort"'),
    "spout": (
        "Makes it a spout: a program that never ends and brings data in. It has no input.",
        "{}",
    ),
    "spout.overwrite": (
        "Whether what comes through /pfs/out replaces files of the same name, or is appended.",
        "true",
    ),
    "spout.marker": (
        "The name in the stream whose content says where to resume. The last one is shown at "
        "/pfs/NAME.",
        '"marker"',
    ),
    "spout.service": ("The port of the spout's program.", '{"internal_port": 8080}'),
    "max_queue_size": (
        "With 1 a worker lays the next datum out when the one before is done, else one ahead.", "2"
    ),
    "datum_set_spec": (
        "With datum_batching: how many datums the program is started once for.",
        '{"number": 100}',
    ),
    "datum_set_spec.number": ("So many datums a set.", "100"),
    "datum_set_spec.size_bytes": ("Datums until they have so many bytes of input.", "100000000"),
    "datum_set_spec.per_worker": ("So many sets for each worker, of equal number.", "4"),
    "output_merge": (
        "What a path that several datums wrote is: an error, or their contents concatenated in "
        "the order of datum ids.",
        '"concatenate"',
    ),
    "reprocess_on_code_change": (
        "An update that changes transform uses no result of an earlier job again.", "true"
    ),
    "transform.image": (
        "The container image to run in; left out, the program runs on this machine.",
        '"python:3.12-slim"',
    ),
    "transform.cmd": (
        "The program and its arguments, without a shell. Inputs are in /pfs, output goes to "
        "/pfs/out.",
        '["python3", "/code/edges.py"]',
    ),
    "transform.stdin": (
        "Lines that are fed to cmd: with a shell as cmd, the script.",
        '["cp /pfs/images/* /pfs/out"]',
    ),
    "transform.err_cmd": (
        "What is run when all attempts at a datum have failed. When it succeeds the datum counts "
        "as recovered: it has no output, and the job goes on.",
        '["true"]',
    ),
    "transform.err_stdin": ("Lines that are fed to err_cmd.", '["echo given up"]'),
    "transform.env": ("Environment variables beside those of the box.", '{"LEVEL": "debug"}'),
    "transform.accept_return_code": ("Exit codes beside 0 that are a success.", "[1, 3]"),
    "transform.debug": ("Logs each command of the scripts of transform.build.", "true"),
    "transform.user": ("The user (and group) that cmd runs as, by name or number.", '"1000:1000"'),
    "transform.working_dir": ("The directory that cmd starts in.", '"/code"'),
    "transform.secrets": (
        "Secrets that the program sees as files or variables.",
        '[{"name": "db", "key": "password", "env_var": "PASSWORD"}]',
    ),
    "transform.secrets[].name": ("The name of the secret.", '"db"'),
    "transform.secrets[].key": ("The key of the secret that env_var shows.", '"password"'),
    "transform.secrets[].mount_path": (
        "A directory in which every key of the secret is a file.", '"/run/secrets/db"'
    ),
    "transform.secrets[].env_var": ("The variable that shows the key.", '"PASSWORD"'),
    "transform.image_pull_secrets": (
        "Secrets with the logins of the registries that the image is pulled from.", '["registry"]'
    ),
    "transform.dockerfile": (
        "What `--build` builds the image from; left out, Containerfile or Dockerfile.",
        '"docker/Dockerfile"',
    ),
    "transform.build": (
        "Run source code as it is, without an image of your own.", '{"language": "python"}'
    ),
    "transform.build.path": ("The directory of the source code, from that of the spec.", '"."'),
    "transform.build.language": ("What builds it; or name an image that does.", '"python"'),
    "transform.build.image": ("An image that builds it, without language.", '"builder:1"'),
    "transform.memory_volume": (
        "Nothing to turn on: small inputs are in memory anyway.", "true"
    ),
    "transform.datum_batching": (
        "Start the program once for many datums. It asks for one after the other.", "true"
    ),
    "input.pfs": ("Files of a branch of a repo.", '{"repo": "images", "glob": "/*"}'),
    "input.pfs.name": (
        "The directory under /pfs that they are in; left out, the name of the repo.", '"images"'
    ),
    "input.pfs.project": ("The project of the repo; left out, the pipeline's.", '"vision"'),
    "input.pfs.repo": ("The repo that is read. A pipeline's output is a repo too.", '"images"'),
    "input.pfs.branch": (
        "The branch whose commits start jobs; left out, master.", '"master"'
    ),
    "input.pfs.glob": (
        "Which paths make a datum each: `/` the whole repo as one, `/*` each file or directory at "
        "the top, `/*/*` each in a directory, `/**.png` each such file at any depth.",
        '"/*"',
    ),
    "input.pfs.join_on": (
        f"In a join: what files have in common, made of captures. {_PATHS}", '"$1"'
    ),
    "input.pfs.outer_join": ("In a join: files without a partner are datums too.", "true"),
    "input.pfs.group_by": (
        f"In a group: what files of a datum have in common, made of captures. {_PATHS}", '"$1"'
    ),
    "input.pfs.lazy": (
        "Nothing to turn on: inputs are ordinary files that are not copied.", "true"
    ),
    "input.pfs.empty_files": ("Show the names of files only; the files are empty.", "true"),
    "input.pfs.s3": (
        "It is read by S3 at $S3_ENDPOINT, in the bucket of its name, and is not under /pfs.",
        "true",
    ),
    "input.pfs.trigger": (
        "When new commits are worth a job: by size, count or time.", '{"size": "1GB"}'
    ),
    "input.pfs.trigger.branch": ("The branch whose commits are counted.", '"master"'),
    "input.pfs.trigger.all": ("All conditions must hold, instead of any of them.", "true"),
    "input.pfs.trigger.cron_spec": ("Once a schedule says so.", '"@hourly"'),
    "input.pfs.trigger.rate_limit_spec": ("At most as often as a schedule says.", '"@every 10m"'),
    "input.pfs.trigger.size": ("When so many bytes are new.", '"1GB"'),
    "input.pfs.trigger.commits": ("When there are so many new commits.", "10"),
    "input.pfs.propagation_spec": ("Whether changes of it start jobs.", '{"never": true}'),
    "input.pfs.propagation_spec.never": (
        "They do not: a job reads the newest commit when another input starts one.", "true"
    ),
    "input.pfs.reference": (
        "Its content is no part of a datum's identity: a change of it runs no datum again.", "true"
    ),
    "input.cross": ("A datum for every combination of the datums of these inputs.", ""),
    "input.union": ("The datums of these inputs one after the other.", ""),
    "input.join": (
        "A datum for files of these inputs that have the same join_on.",
        '[{"pfs": {"repo": "a", "glob": "/(*).x", "join_on": "$1"}}, '
        '{"pfs": {"repo": "b", "glob": "/(*).y", "join_on": "$1"}}]',
    ),
    "input.group": (
        "A datum for all files of these inputs that have the same group_by.",
        '[{"pfs": {"repo": "a", "glob": "/(*)-*", "group_by": "$1"}}]',
    ),
    "input.cron": (
        "A clock: a job at every tick, with a file named by its time.",
        '{"name": "tick", "spec": "@hourly"}',
    ),
    "input.cron.name": ("The directory under /pfs that ticks are in.", '"tick"'),
    "input.cron.spec": (
        "When: minute, hour, day, month, weekday; or @hourly and the like, @every 90s, @never.",
        '"0 6 * * 1-5"',
    ),
    "input.cron.timezone": ("The zone of the schedule; left out, the machine's.",
                            '"Europe/Berlin"'),
    "input.cron.project": ("The project of the repo of ticks; left out, the pipeline's.",
                           '"vision"'),
    "input.cron.repo": ("The repo of ticks; left out, PIPELINE_NAME.", '"edges_tick"'),
    "input.cron.start": ("Ticks come after this time; left out, now.", '"2026-01-01T00:00:00Z"'),
    "input.cron.overwrite": ("Keep the last tick only.", "true"),
    "input.cron.coalesce": (
        "Of the ticks that were missed while the box was down, make the last only.", "true"
    ),
}  # fmt: skip
