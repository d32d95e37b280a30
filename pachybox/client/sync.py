"""The client for programs: one object, a method per operation, plain values out."""

from __future__ import annotations

from pachybox.client.backups import Backups
from pachybox.client.blocks import Blocks
from pachybox.client.box import Box, Transactions
from pachybox.client.commits import Commits
from pachybox.client.defaults import Defaults
from pachybox.client.demo import Demo
from pachybox.client.files import Reading, Writing
from pachybox.client.filesets import Filesets
from pachybox.client.ingests import Ingests
from pachybox.client.jobs import Datums, Jobs
from pachybox.client.lineage import Existence, Lineage
from pachybox.client.log_parts import LogParts
from pachybox.client.metadata import Metadata
from pachybox.client.python_pipelines import PythonPipelines
from pachybox.client.repos import Branches, Projects, Repos
from pachybox.client.secrets import Secrets
from pachybox.client.specs import Specs
from pachybox.client.tokens import Tokens
from pachybox.client.trials import Trials
from pachybox.client.views import Views


class Client(
    Demo,
    PythonPipelines,
    Projects,
    Repos,
    Branches,
    Commits,
    Blocks,
    Writing,
    Reading,
    Filesets,
    Defaults,
    Jobs,
    Datums,
    LogParts,
    Specs,
    Trials,
    Ingests,
    Secrets,
    Tokens,
    Box,
    Backups,
    Metadata,
    Transactions,
    Lineage,
    Existence,
    Views,
):
    """A box, from Python.

    >>> with Client() as box:
    ...     box.create_repo("images")
    ...     box.put_file("images@master:/a.png", "a.png")
    """

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
