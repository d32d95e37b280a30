"""Python code as a pipeline, as python-pachyderm had it, and that library's helpers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pachybox.client.build_pipelines import Builds, check, make
from pachybox.client.names import pipeline_message
from pachybox.client.pipeline_values import CreatedPipeline
from pachybox.client.values import Json, PutResult
from pachybox.errors import CHECK_FILE, InvalidArgument

if TYPE_CHECKING:  # loaded on use
    from pathlib import Path

    from pachybox.client.build_source import SourceCode
    from pachybox.client.files import Writing


class PythonPipelines(Builds):
    """Methods that make pipelines of Python code."""

    def create_python_pipeline(
        self,
        path: str | os.PathLike[str],
        input: object = None,
        pipeline_name: str | None = None,
        image_pull_secrets: Sequence[str] | None = None,
        debug: bool | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[object] | None = None,
        image: str | None = None,
        update: bool = False,
        **pipeline_kwargs: object,
    ) -> CreatedPipeline:
        """Make a pipeline of a directory with a main.py, or of one Python file.

        The packages of its requirements.txt (else pyproject.toml) are built once for each change
        of that list; a build.sh or run.sh beside it takes the place of what builds and runs, with
        the source in /pfs/source and what was built in /pfs/build. ``debug`` logs each command
        of these scripts. ``input`` is an object as in specs; without one the code has one datum and
        its source alone. The name defaults to the last element of ``path``, without ``.py``.
        Without ``image`` it runs on this machine; with one, which needs python3 and pip, in that.
        ``pipeline_kwargs`` are the other fields of a spec, ``reprocess`` and ``runner``.
        """
        from pathlib import Path

        from pachybox.client.build_plan import Plan

        folder = Path(os.fspath(path))
        name = pipeline_name or folder.absolute().name.removesuffix(".py")
        reprocess = bool(pipeline_kwargs.pop("reprocess", False))
        runner = str(pipeline_kwargs.pop("runner", None) or "")
        given = {
            "image": image,
            "image_pull_secrets": list(image_pull_secrets or ()),
            "debug": debug,
            "env": dict(env or {}),
            "secrets": [plain(secret) for secret in secrets or ()],
        }
        transform = {key: value for key, value in given.items() if value}
        if "transform" in pipeline_kwargs:
            raise InvalidArgument(
                "create_python_pipeline makes the transform itself",
                "give image, env, secrets ..., or use build_pipeline",
            )
        spec: Json = {
            "pipeline": pipeline_message(name, self.project),
            "transform": {**transform, "build": {"language": "python"}},
            **{key: plain(value) for key, value in pipeline_kwargs.items() if value is not None},
        }
        if input is not None:
            spec["input"] = plain(input)
        plan = Plan.of(spec, None, source=_source(folder), runner=runner, own=True)
        if input is not None:
            check(self, spec, update=update, runner=runner)
        return make(self, plan, update=update, reprocess=reprocess, runner=runner)


def _source(path: Path) -> SourceCode:
    """A directory that has a main.py, or one file as main.py."""
    from pachybox.client.build_source import SourceCode

    if path.is_file():
        return SourceCode({"main.py": path})
    if not path.is_dir():
        raise InvalidArgument(f"there is no file or directory {path}", CHECK_FILE)
    source = SourceCode.of_folder(path)
    if "main.py" not in source.files:
        raise InvalidArgument(f"no main.py in {path}", "it is what a pipeline of a directory runs")
    return source


def plain(value: object) -> Any:
    """A value of a spec from what Pachyderm's clients have for it: messages become objects."""
    if hasattr(value, "DESCRIPTOR"):
        from google.protobuf.json_format import MessageToDict

        return MessageToDict(value, preserving_proto_field_name=True)  # type: ignore[arg-type]
    if callable(as_dict := getattr(value, "to_dict", None)):
        return as_dict()  # betterproto, as in pachyderm_sdk
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def create_python_pipeline(
    client: PythonPipelines,
    path: str | os.PathLike[str],
    input: object = None,
    pipeline_name: str | None = None,
    image_pull_secrets: Sequence[str] | None = None,
    debug: bool | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Sequence[object] | None = None,
    image: str | None = None,
    update: bool = False,
    **pipeline_kwargs: object,
) -> CreatedPipeline:
    """``Client.create_python_pipeline`` as the function that python-pachyderm had."""
    return client.create_python_pipeline(
        path, input, pipeline_name, image_pull_secrets, debug, env, secrets, image, update,
        **pipeline_kwargs,
    )  # fmt: skip


def put_files(
    client: Writing,
    source_path: str | os.PathLike[str],
    commit: str | tuple[str, str],
    dest_path: str,
    **kwargs: Any,
) -> PutResult:
    """Everything below a directory of this machine to below a path of ``(repo, branch)``, or of
    ``"repo@ref"``; ``kwargs`` as of ``Client.put_files``."""
    where = commit if isinstance(commit, str) else "@".join(commit)
    return client.put_files(f"{where}:{dest_path}", source_path, **kwargs)


def parse_json_pipeline_spec(text: str) -> Json:
    """A spec from JSON, for ``Client.create_pipelines``. Raises InvalidArgument."""
    try:
        return parse_dict_pipeline_spec(json.loads(text))
    except ValueError as e:
        raise InvalidArgument(f"the spec is not JSON: {e}", "correct it") from e


def parse_dict_pipeline_spec(spec: Mapping[str, Any]) -> Json:
    """A spec from an object, for ``Client.create_pipelines``. Raises InvalidArgument."""
    if not isinstance(spec, Mapping):
        raise InvalidArgument(f"a {type(spec).__name__} is no spec", "give an object")
    return plain(spec)  # type: ignore[no-any-return]
