"""What a spec with ``transform.build`` becomes: two specs and the files of its source."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pachybox.builders import Builder, find
from pachybox.client.build_source import OWN, SourceCode
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument

RUN = "/pfs/build/run.sh"
MARK = "pachybox/build"
"""The annotation by which a pipeline that builds is known to be as it would be made."""

SOURCE, BUILD = "source", "build"
_KEPT = ("image", "env", "secrets", "image_pull_secrets", "user", "debug")
_SPECIAL = frozenset("*?[]{}()!@+^\\|,")


def asks(document: Mapping[str, Any]) -> bool:
    """Whether a spec has its source in a directory: whether it has ``transform.build``."""
    transform = document.get("transform")
    return isinstance(transform, Mapping) and transform.get("build") is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a spec with ``transform.build`` becomes. Made without asking the box anything.

    ``pipeline`` is its name, with its project unless it names none. ``build`` is the spec of the
    pipeline that builds, ``document`` that of the pipeline itself.
    """

    pipeline: str
    source: SourceCode
    build: Json
    document: Json

    @property
    def repo(self) -> str:
        """The repo of the source."""
        return f"{self.pipeline}_source"

    @property
    def builder(self) -> str:
        """The pipeline that builds, and the repo of what is built."""
        return f"{self.pipeline}_build"

    @property
    def said(self) -> str:
        """The description of the commit of this source, by which it is known to be there."""
        return f"source sha256:{self.source.digest()}"

    @classmethod
    def of(
        cls,
        document: Json,
        folder: Path | None,
        *,
        source: SourceCode | None = None,
        runner: str = "",
        own: bool = False,
    ) -> Plan:
        """Raises InvalidArgument for what cannot be built. ``source`` takes the place of what is
        in ``build.path``, and may be all that the pipeline reads; ``runner`` is the one asked
        for. With ``own`` the source's build.sh and run.sh take the place of any builder's."""
        document = copy.deepcopy(document)
        if not asks(document):
            raise InvalidArgument(
                "transform.build: missing", 'name the source, like {"language": "python"}'
            )
        transform, pipeline = document["transform"], document.get("pipeline") or {}
        name, project = _named(pipeline)
        build = transform.pop("build")
        _refuse(document, build, alone=source is not None)
        if source is None:
            source = SourceCode.of_folder(_folder(build, folder))
        if image := build.get("image"):
            made = _by_image(image, transform)
        else:
            builder = find(build["language"])
            if own:
                builder = replace(builder, own=True)
            if runner in ("podman", "kubernetes"):
                transform.setdefault("image", builder.image)
            source, made = _by_builder(builder, source, transform)
        base = {"project": project} if project else {}
        code = {"repo": f"{name}_source", **base, "branch": "master"}
        _shown(made["input"], code)
        built = {"repo": f"{name}_build", **base, "branch": BUILD}
        made["pipeline"] = {**pipeline, "name": f"{name}_build"}
        transform["cmd"] = transform.get("cmd") or [*_shell(transform), RUN]
        document["input"] = {
            "cross": [
                {"pfs": {"name": SOURCE, **code, "glob": "/"}},
                {"pfs": {"name": BUILD, **built, "glob": "/"}},
                *([document["input"]] if document.get("input") else []),
            ]
        }
        where = f"{project}/{name}" if project else name
        made["parallelism_spec"], made["output_branch"] = {"constant": 1}, BUILD
        made["reprocess_on_code_change"] = True  # packages are those of an image and an index
        made["description"] = f"Builds the source of {where}"
        made["metadata"] = {"annotations": {MARK: _digest(made, runner)}}
        return cls(where, source, made, document)


def _named(pipeline: Mapping[str, Any]) -> tuple[str, str]:
    """The name of a pipeline and that of its project, if it has one."""
    name = pipeline.get("name")
    if not name:
        raise InvalidArgument("pipeline.name: missing", "give the pipeline a name")
    return name, (pipeline.get("project") or {}).get("name") or ""


def _refuse(document: Json, build: Any, *, alone: bool) -> None:
    """Raise InvalidArgument for a spec that cannot have its source built; ``alone``: it need not
    read anything beside its source."""
    if not isinstance(build, Mapping):
        raise InvalidArgument("transform.build: expected an object", 'like {"language": "python"}')
    if document.get("spout") is not None:
        raise InvalidArgument(
            "transform.build: a spout cannot have its source built", "name its program in cmd"
        )
    if not document.get("input") and not alone:
        raise InvalidArgument("input: no input set", "transform.build needs an input")
    if bool(build.get("language")) == bool(build.get("image")):
        both = "language and image are both set" if build.get("image") else "has neither"
        raise InvalidArgument(
            f"transform.build: {both}", "set either language or image"
        )  # fmt: skip
    for name in names(document.get("input")):
        if name in (SOURCE, BUILD):
            raise InvalidArgument(
                f'an input is called "{name}", as the code\'s own is with transform.build',
                "set its name to another",
            )


def names(found: Any) -> Iterator[str]:
    """The names of an input, as directories under /pfs."""
    if isinstance(found, Mapping):
        for kind, inner in found.items():
            if isinstance(inner, list):
                for one in inner:
                    yield from names(one)
            elif isinstance(inner, Mapping) and kind in ("pfs", "cron", "git"):
                yield str(inner.get("name") or inner.get("repo") or "")


def _folder(build: Mapping[str, Any], folder: Path | None) -> Path:
    path = Path(build.get("path") or ".")
    if folder is None:
        raise InvalidArgument(
            "transform.build: the spec is not of this machine, and so has no source beside it",
            "fetch it together with its source, and name the file",
        )
    return folder / path


def _by_image(image: str, transform: Json) -> Json:
    """The pipeline that builds with a builder image: its own build.sh, over all of the source."""
    transform["image"] = transform.get("image") or image
    return {
        "transform": {**_kept(transform), "image": image, "cmd": ["sh", "./build.sh"]},
        "input": {"pfs": {"name": SOURCE, "glob": "/"}},
    }


def _by_builder(builder: Builder, source: SourceCode, transform: Json) -> tuple[SourceCode, Json]:
    """The source with a builder's scripts, and the pipeline that runs build.sh over what it needs.

    All that is needed is one datum, so that it is skipped while none of it changes.
    """
    if not transform.get("cmd") and builder.main not in source.files:
        own = builder.own and "run.sh" in source.files
        if not own:
            raise InvalidArgument(
                f"the source has no {builder.main}, which {builder.language} begins with",
                "add it, or say what to run in transform.cmd",
            )
    needs = builder.reads(source.files, source.read)
    scripts = {**builder.scripts(source.files, source.read), **needs.made}
    source = source.with_files({f"{OWN}/{name}": data for name, data in scripts.items()})
    if needs.whole:
        read: Json = {"pfs": {"name": SOURCE, "glob": "/"}}
    else:
        files = ",".join([f"{OWN}/*", *map(_escaped, sorted(needs.files))])
        read = {"group": [{"pfs": {"name": SOURCE, "glob": f"/{{{files}}}", "group_by": "all"}}]}
    run = [
        "set -e",
        f"cp /pfs/{SOURCE}/{OWN}/run.sh /pfs/out/run.sh",
        f"cd /pfs/{SOURCE}",
        " ".join([*_shell(transform), f"{OWN}/build.sh"]),
    ]
    return source, {
        "transform": {**_kept(transform), "cmd": ["sh"], "stdin": run},
        "input": read,
        "datum_tries": 1,  # pip and its like try again by themselves
    }


def _shell(transform: Json) -> list[str]:
    """What runs a script: with ``debug`` it says each command in the log."""
    return ["sh", "-x"] if transform.get("debug") else ["sh"]


def _kept(transform: Json) -> Json:
    """What building needs of the pipeline's own transform: the image, and ways to get packages."""
    return {name: value for name in _KEPT if (value := either(transform, name))}


def either(fields: Mapping[str, Any], name: str) -> Any:
    """A field of a spec by its name in snake_case or lowerCamelCase."""
    first, *rest = name.split("_")
    return fields.get(name) or fields.get(first + "".join(map(str.title, rest)))


def _escaped(path: str) -> str:
    """A path as a glob that matches it alone."""
    return "".join(f"\\{c}" if c in _SPECIAL else c for c in path)


def _shown(found: Json, where: Mapping[str, str]) -> None:
    """Give the one file input of the pipeline that builds its repo."""
    leaf = found["pfs"] if "pfs" in found else found["group"][0]["pfs"]
    leaf.update(where)


def _digest(build: Json, runner: str) -> str:
    text = json.dumps([build, runner], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
