"""The settings by which a spout's program finds the box, as Pachyderm's clients read them.

A file that the program alone sees, in memory: it may hold the box's token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from pachybox.model.ids import Pipeline
from pachybox.worker.wire import WorkerSpec

PATH = "/pachctl/config.json"


def shown(spec: WorkerSpec, pipeline: Pipeline, reach: Mapping[str, str]) -> WorkerSpec:
    """``spec`` with the file, and $PACH_CONFIG that names it. ``reach`` are the variables that
    tell programs how to reach the box."""
    return replace(
        spec,
        env={**spec.env, "PACH_CONFIG": PATH},
        files={**spec.files, PATH: _content(pipeline, reach)},
    )


def _content(pipeline: Pipeline, reach: Mapping[str, str]) -> bytes:
    host, port = (reach.get(f"PACHD_PEER_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    context = {"source": 2, "pachd_address": f"grpc://{host}:{port}", "project": pipeline.project}
    if token := reach.get("PACH_TOKEN"):
        context["session_token"] = token
    config = {
        "user_id": f"pipeline:{pipeline.project}/{pipeline.name}",
        "v2": {"active_context": "box", "contexts": {"box": context}, "metrics": False},
    }
    return json.dumps(config, indent=2).encode() + b"\n"
