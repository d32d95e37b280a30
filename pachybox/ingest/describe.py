"""The fields of an ingest spec in words, for whoever writes one."""

from __future__ import annotations

from pachybox.ingest.record_specs import FORMATS, RESTARTS
from pachybox.model import record_path
from pachybox.pps.spec.describe import Described

_BOOL = ("true", "false")


def describe() -> list[Described]:
    """Every field of an ingest spec, parents before their children."""
    return [
        *_TOP,
        Described("watch", "object", "", "Files of a folder that come in when they are whole.",
                  '{"path": "/data/in"}'),
        *_WATCH,
        Described("push", "object", "", "Records that are posted over HTTP.", "{}"),
        Described("push.secret", "string", "the box's token",
                  "A secret whose key `token` has what callers show instead of the box's token.",
                  '"feed"'),
        *_records("push"),
        Described("command", "object", "", "Records that a program prints.",
                  '{"cmd": ["journalctl", "-f", "-o", "json"]}'),
        *_COMMAND,
        *_records("command"),
    ]  # fmt: skip


_TOP = (
    Described("name", "string", "required", "The name of the source.", '"drops"'),
    Described("ingest", "object", "", "The name of the source and its project, in place of name.",
              '{"name": "drops", "project": "vision"}'),
    Described("ingest.name", "string", "", "The name of the source.", '"drops"'),
    Described("ingest.project", "string", "the one of the command",
              "The project that the source lives in.", '"vision"'),
    Described("description", "string", "", "What it is for, in your own words.", '"scans"'),
    Described("to", "string", "required", "The branch that data is committed to.",
              '"raw@master"'),
)  # fmt: skip

_WATCH = (
    Described("watch.path", "string", "required", "The folder, from the root.", '"/data/in"'),
    Described("watch.pattern", "string", "**", "Which files: a glob on the path in the folder.",
              '"*.csv"'),
    Described("watch.settle", "duration", "2s",
              "A file is whole when its size and time have not changed for so long.", '"2s"'),
    Described("watch.batch", "duration", "5s", "The longest that a whole file waits for others.",
              '"5s"'),
    Described("watch.prefix", "string", "/", "The directory of the repo that files go to.",
              '"/scans"'),
    Described("watch.done", "string", "",
              "Instead of settle: a file is whole when one of its name and this suffix is there.",
              '".done"'),
    Described("watch.all_names", "bool", "false",
              "Also names that begin with a dot, or that mark files that are being written.",
              "true", _BOOL),
    Described("watch.delete_after", "bool", "false", "Delete files once they are committed.",
              "true", _BOOL),
    Described("watch.move_to", "string", "", "Move files here once they are committed.",
              '"/data/done"'),
    Described("watch.mirror", "bool", "false",
              "What is deleted in the folder is deleted in the repo.", "true", _BOOL),
    Described("watch.poll", "string", "auto",
              "Whether to look by the clock instead of waiting to be told of changes.", '"always"',
              ("auto", "always", "never")),
    Described("watch.poll_interval", "duration", "1s", "How often to look by the clock.", '"10s"'),
)  # fmt: skip

_COMMAND = (
    Described("command.cmd", "strings", "required",
              "The program and its arguments, or a line for a shell.", '["tail", "-F", "/x.log"]'),
    Described("command.env", "map", "", "Variables beside those of the box.",
              '{"LEVEL": "debug"}'),
    Described("command.dir", "string", "/", "The directory that it runs in, from the root.",
              '"/srv/feed"'),
    Described("command.restart", "string", "always",
              "Whether it is started again when it has ended.", '"on-failure"', RESTARTS),
    Described("command.every", "duration", "", "Instead: it is started every so often.", '"10m"'),
    Described("command.marker", "string", "",
              "The field of a record (of lines: the pattern) from which it can go on.", '"id"'),
)  # fmt: skip


def _records(kind: str) -> tuple[Described, ...]:
    return (
        Described(f"{kind}.format", "string", "jsonl", "What a record is: JSON, or a line.",
                  '"jsonl"', FORMATS),
        Described(f"{kind}.path", "string", record_path.DEFAULT,
                  "The file that records go to, with parts of their time, source or fields.",
                  '"/{date}/{source}-{batch}.{format}"'),
        Described(f"{kind}.time_field", "string", "",
                  "The field of a record that has its time; left out, it is when it came.",
                  '"ts"'),
        Described(f"{kind}.group", "object", "", "What makes a commit, whichever comes first.",
                  '{"records": 1000, "time": "10s"}'),
        Described(f"{kind}.group.records", "integer", "10000", "So many records.", "1000"),
        Described(f"{kind}.group.size", "size", "8MB", "So many bytes of records.", '"8MB"'),
        Described(f"{kind}.group.time", "duration", "5s", "So long after the first record.",
                  '"5s"'),
        Described(f"{kind}.max_record", "size", "1MiB",
                  "The longest record; a longer one goes to the dead letters.", '"1MiB"'),
        Described(f"{kind}.spool", "size", "256MiB", "How much may wait to be committed.",
                  '"256MiB"'),
    )  # fmt: skip
