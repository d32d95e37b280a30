"""What a box in a container or on a machine is given to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def first_commit(run: Callable[..., object], spec: dict[str, Any]) -> None:
    """A repo ``in``, the pipeline ``look`` of ``spec``, and a commit that it has worked on; by
    commands that ``run`` runs."""
    run("pachybox", "create", "repo", "in")
    run("pachybox", "create", "pipeline", "-f", "-", stdin=json.dumps(spec))
    run("pachybox", "put", "file", "in@master:/a", "-f", "-", stdin="first")
    run("pachybox", "wait", "commit", "look@master")
