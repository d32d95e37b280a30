"""Rules of a spec beside those of its input: what values may be and may stand together. Pure.

Each looks at what was read and notes what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pachybox.model.ids import Pipeline, check_name, check_pipeline_name
from pachybox.model.units import parse_quantity
from pachybox.pps.egress import target
from pachybox.pps.spec.cluster import check_cluster
from pachybox.pps.spec.inputs import check_branch, check_input, leaves_of, try_
from pachybox.pps.spec.shape import Shape
from pachybox.pps.spec.spouts import check_spout

Values = Mapping[str, Any]

_MOST_PORT = 65535


def _pipeline(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    if pipeline.name:
        try_(shape, "pipeline.name", lambda: check_pipeline_name(pipeline.name))
    else:
        shape.missing("pipeline.name", "missing", "give the pipeline a name")
    if (values.get("pipeline") or {}).get("project", {}).get("name"):
        try_(shape, "pipeline.project.name", lambda: check_name("project", pipeline.project))


def _transform(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    transform = values.get("transform")
    if transform is None:
        shape.missing(
            "transform", "pipeline must specify a transform", 'give it one with a cmd, like ["sh"]'
        )
        return
    cmd = transform.get("cmd")
    if "build" in transform:
        _build(shape, transform["build"], values.get("input") or {})
    elif transform.get("image") and not cmd:
        pass  # its entrypoint runs, if it has one: known where the image is (pps.placement)
    elif cmd is None:
        shape.missing("transform.cmd", "missing", 'say what to run, like ["python3", "edges.py"]')
    elif not cmd:
        shape.problem("transform.cmd", "empty", 'say what to run, like ["python3", "edges.py"]')
    for name in ("cmd", "err_cmd"):
        if transform.get(name) and not transform[name][0]:
            shape.problem(f"transform.{name}", "its first string is empty", "name the program")
    for name in transform.get("env") or {}:
        _variable(shape, "transform.env", name)
    for number, secret in enumerate(transform.get("secrets") or ()):
        _secret(shape, f"transform.secrets[{number}]", secret)


def _build(shape: Shape, build: Values, source: Values) -> None:
    """Source code by ``transform.build``; the client makes the pipeline that builds it."""
    path = "transform.build"
    if not (build.get("language") or build.get("image")):
        hint = 'say how it is built, like "language": "python"'
        shape.missing(path, "neither language nor image is set", hint)
    if build.get("language") and build.get("image"):
        shape.problem(path, "language and image are both set", "keep one of them")
    for where, leaf in leaves_of(source, "input"):
        name = leaf.get("name") or leaf.get("repo") or ""
        if name in ("source", "build"):
            shape.problem(
                f"{where}.name",
                f'with transform.build the input "{name}" is the code\'s own',
                f"set {where}.name to another name",
            )


def _variable(shape: Shape, path: str, name: str) -> None:
    if not name or "=" in name:
        shape.problem(
            path,
            f"{name!r} cannot be the name of a variable",
            "use letters, digits and underscores",
        )


def _secret(shape: Shape, path: str, secret: Values) -> None:
    """Its keys as files below ``mount_path``, one key as a variable, or both."""
    mount, variable, key = (secret.get(name) for name in ("mount_path", "env_var", "key"))
    if not secret.get("name"):
        shape.missing(f"{path}.name", "missing", "name the secret")
    if variable:
        _variable(shape, f"{path}.env_var", variable)
        if not key:
            shape.missing(f"{path}.key", "missing: env_var shows one key", "name the key")
    elif not mount:
        shape.missing(path, "is shown nowhere", "give it mount_path, or key and env_var")
    elif key:
        shape.warn(f"{path}.key", "has no effect without env_var: mount_path shows every key")
    if mount:
        parts = [part for part in mount.split("/") if part not in ("", ".")]
        if not mount.startswith("/") or ".." in parts or not parts or parts[0] == "pfs":
            shape.problem(
                f"{path}.mount_path",
                f"{mount!r} cannot hold a secret",
                "write a path from the root that is not below /pfs, like /run/secrets/db",
            )


def _input(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    check_input(shape, values.get("input") or {}, pipeline, wanted="spout" not in values)


def _numbers(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    parallelism = values.get("parallelism_spec") or {}
    for name in ("constant", "coefficient"):
        if parallelism.get(name, 0) < 0:
            shape.problem(f"parallelism_spec.{name}", "may not be negative", "use 1 or more")
    if parallelism.get("constant") and parallelism.get("coefficient"):
        shape.problem("parallelism_spec", "constant and coefficient are both set", "remove one")
    if values.get("datum_tries", 0) < 0:
        shape.problem("datum_tries", "may not be negative", "use 1 or more")
    if (values.get("hashtree_spec") or {}).get("constant", 1) < 1:
        shape.problem("hashtree_spec.constant", "must be 1 or more", "remove hashtree_spec")


def _units(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    """chunk_spec and datum_set_spec are one thing by two names."""
    old, new = values.get("chunk_spec") or {}, values.get("datum_set_spec") or {}
    for name, given in (("chunk_spec", old), ("datum_set_spec", new)):
        for part, value in given.items():
            if value < 0:
                shape.problem(f"{name}.{part}", "may not be negative", "use 1 or more")
    if any(old.values()) and any(new.values()):
        shape.problem("chunk_spec", "is datum_set_spec by its older name", "keep one of them")
    if new.get("per_worker") and (new.get("number") or new.get("size_bytes")):
        shape.problem(
            "datum_set_spec.per_worker",
            "cannot be set together with number or size_bytes",
            "keep one of them",
        )


def _limits(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    limits = values.get("resource_limits") or {}
    if limits.get("cpu", 0) < 0:
        shape.problem("resource_limits.cpu", "may not be negative", "give cores, like 0.5")
    if limits.get("memory") and parse_quantity(limits["memory"]) < 0:
        shape.problem("resource_limits.memory", "may not be negative", 'write it like "64M"')
    if parse_quantity(limits.get("shm") or "0") < 0:
        shape.problem("resource_limits.shm", "may not be negative", 'write it like "64M"')
    if limits.get("pids", 0) < 0:
        shape.problem("resource_limits.pids", "may not be negative", "say how many")
    if (limits.get("gpu") or {}).get("number", 0) < 0:
        shape.problem("resource_limits.gpu.number", "may not be negative", "say how many")


def _output(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    if branch := values.get("output_branch"):
        check_branch(shape, "output_branch", branch)
    if values.get("s3_out") and values.get("service") is not None:
        shape.problem("s3_out", "a service has no output", "remove it")


def _egress(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    egress = values.get("egress") or {}
    given = [name for name in ("url", "object_storage", "sql_database") if _asks(egress.get(name))]
    if len(given) > 1:
        shape.problem("egress", f"several targets: {', '.join(given)}", "keep one of them")
    for name in given:
        path = "egress.url" if name == "url" else f"egress.{name}.url"
        url = egress["url"] if name == "url" else egress[name].get("url")
        if not url:
            shape.missing(path, "missing", "say where to")
        elif name == "sql_database":
            try_(shape, path, lambda url=url: target.database({"url": url}))  # type: ignore[misc]
        else:
            try_(shape, path, lambda url=url: target.files(url))  # type: ignore[misc]
    if "sql_database" in given:
        _database(shape, egress["sql_database"])


def _asks(value: Any) -> bool:
    return any(map(_asks, value.values())) if isinstance(value, dict) else bool(value)


def _database(shape: Shape, database: Values) -> None:
    path = "egress.sql_database"
    columns = (database.get("file_format") or {}).get("columns") or ()
    if len(set(columns)) < len(columns):
        shape.problem(f"{path}.file_format.columns", "names a column twice", "keep one of them")
    secret = database.get("secret") or {}
    if secret.get("key") and not secret.get("name"):
        shape.missing(f"{path}.secret.name", "missing", "name the secret that has the key")


def _service(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    service = values.get("service")
    if service is None:
        return
    _ports(shape, "service", service)
    if (values.get("transform") or {}).get("datum_batching"):
        shape.problem("transform.datum_batching", "a service has a single datum", "remove it")
    _one_worker(shape, values, "services")
    for path, leaf in leaves_of(values.get("input") or {}, "input"):
        if path.endswith(".pfs") and leaf.get("glob") not in (None, "/"):
            shape.warn(
                f"{path}.glob",
                "a service must have a single datum: its job fails when this matches more than "
                'one path; "/" shows the whole repo',
            )


def _ports(shape: Shape, path: str, service: Values) -> None:
    for name in ("internal_port", "external_port"):
        port = service.get(name, 0)
        if not 0 <= port <= _MOST_PORT:
            shape.problem(f"{path}.{name}", f"{port} is not a port", "use 1 to 65535")
    if not service.get("internal_port"):
        shape.missing(f"{path}.internal_port", "missing", "name the port the program listens on")


def _one_worker(shape: Shape, values: Values, what: str) -> None:
    parallelism = values.get("parallelism_spec") or {}
    if parallelism.get("constant", 1) > 1 or parallelism.get("coefficient"):
        shape.problem(
            "parallelism_spec",
            f"{what} can only be run with a constant parallelism of 1",
            "remove it",
        )


def _spout(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    spout = values.get("spout")
    if spout is None:
        return
    check_spout(shape, values, spout)
    if "service" in spout:
        _ports(shape, "spout.service", spout["service"])
    _one_worker(shape, values, "spouts")


Rule = Callable[[Shape, Values, Pipeline], None]

RULES: tuple[Rule, ...] = (
    _pipeline,
    _transform,
    _input,
    _numbers,
    _units,
    _limits,
    _output,
    _egress,
    _service,
    _spout,
    check_cluster,
)
