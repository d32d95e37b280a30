"""Functions as pipelines: ``@pachybox.pipeline`` over a Python function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from pachybox.client.build_pipelines import check, make
from pachybox.client.build_plan import Plan, names
from pachybox.client.build_source import SourceCode
from pachybox.client.function_source import text_of
from pachybox.client.names import repo_message
from pachybox.client.pipeline_values import CreatedPipeline
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument

if TYPE_CHECKING:
    from pachybox.client.sync import Client

P = ParamSpec("P")
R = TypeVar("R")

_KINDS = frozenset({"pfs", "cron", "cross", "union", "join", "group"})
_OUT = "out"
_MAIN = """

if __name__ == "__main__":
    import os as _os
    from pathlib import Path as _Path

    _pfs = _os.environ.get("PFS", "/pfs")
    {call}
"""


class FunctionPipeline(Generic[P, R]):
    """A function that is a pipeline too. Called, it is the function; ``deploy`` sends it."""

    def __init__(
        self,
        function: Callable[P, R],
        input: str | Mapping[str, Any],
        *,
        name: str = "",
        requirements: Sequence[str] = (),
        files: Sequence[str | PathLike[str]] = (),
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """See ``pipeline``. Raises InvalidArgument when the function's parameters do not go with
        the input."""
        _check_function(function)
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__
        self.input = _input(input)
        self._requirements = _several("requirements", requirements)
        self._files = _several("files", files)
        self._spec = dict(spec or {})
        self._arguments = _arguments(function, list(names(self.input)))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<pipeline {self.name} of {self.function!r}>"

    def source(self) -> SourceCode:
        """What is sent: main.py with the function and what of its module it uses, its
        requirements, and the files given. Raises InvalidArgument for what cannot be sent."""
        files: dict[str, Path | bytes] = {}
        for one in self._files:
            path = Path(fspath(one))
            if path.is_dir():
                found = SourceCode.of_folder(path).files
                files |= {f"{path.name}/{below}": place for below, place in found.items()}
            else:
                files[path.name] = path
        text = text_of(self.function, frozenset(name.partition("/")[0] for name in files))
        call = f"{self.function.__name__}({self._arguments})"
        if inspect.iscoroutinefunction(self.function):
            call = f'__import__("asyncio").run({call})'
        files["main.py"] = (text + _MAIN.format(call=call)).encode()
        if self._requirements:
            files["requirements.txt"] = "".join(f"{r}\n" for r in self._requirements).encode()
        return SourceCode(files)

    def spec(self) -> Json:
        """The spec, as it could stand in a file beside the source."""
        transform = {**self._spec.get("transform", {}), "build": {"language": "python"}}
        return {
            "description": (inspect.getdoc(self.function) or "").partition("\n")[0],
            **self._spec,
            "pipeline": {"name": self.name, **self._spec.get("pipeline", {})},
            "transform": transform,
            "input": self.input,
        }

    def deploy(
        self, box: Client | None = None, *, reprocess: bool = False, runner: str = ""
    ) -> CreatedPipeline:
        """Make the pipeline, or change it to what the function is now; nothing happens when it
        is that already. ``box`` defaults to ``Client()``."""
        if box is None:
            with _client() as own:
                return self.deploy(own, reprocess=reprocess, runner=runner)
        spec = self.spec()
        plan = Plan.of(spec, None, source=self.source(), runner=runner)
        check(box, spec, update=True, runner=runner)
        return make(box, plan, update=True, reprocess=reprocess, runner=runner, quiet=True)


def pipeline(
    input: str | Mapping[str, Any],
    *,
    name: str = "",
    requirements: Sequence[str] = (),
    files: Sequence[str | PathLike[str]] = (),
    **spec: Any,
) -> Callable[[Callable[P, R]], FunctionPipeline[P, R]]:
    """A Python function as a pipeline: it is called once for each datum.

    ``input`` is ``"repo@branch:/glob"``; or an object of names and such texts, for a datum from
    each combination; or an input as in specs. The function's parameter ``out`` is the directory
    for the output; each other one gets the path of the input of its name, or of the next one.
    ``name`` defaults to the function's. ``requirements`` are packages as in requirements.txt,
    ``files`` further files and directories put beside the code, ``spec`` other fields of a spec.

    >>> @pachybox.pipeline("images@master:/*", requirements=["pillow"])
    ... def edges(path: Path, out: Path) -> None:
    ...     Image.open(path).filter(ImageFilter.FIND_EDGES).save(out / path.name)
    >>> edges.deploy()
    """

    read = _input(input)

    def made(function: Callable[P, R]) -> FunctionPipeline[P, R]:
        return FunctionPipeline(
            function, read, name=name, requirements=requirements, files=files, spec=spec
        )

    return made


def _check_function(function: object) -> None:
    """Raise InvalidArgument for what is no function, or one whose call does nothing."""
    found = getattr(function, "__wrapped__", function)
    if not inspect.isfunction(found):
        raise InvalidArgument(f"{function!r} is no function", "define one by def")
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        raise InvalidArgument(
            f"{found.__name__} is a generator: nobody takes what it yields",
            "have it write files to out",
        )
    if next(iter(inspect.signature(found).parameters), "") == "self":
        raise InvalidArgument(
            f"{found.__qualname__} is a method, and there is no object to call it on",
            "define it at the top of its module",
        )


T = TypeVar("T")


def _several(what: str, given: Sequence[T]) -> tuple[T, ...]:
    """Raises InvalidArgument for one text, whose elements are letters."""
    if isinstance(given, str):
        raise InvalidArgument(f"{what} is one text", f"give a list: {what}=[{given!r}]")
    return tuple(given)


def _client() -> Client:
    from pachybox.client.sync import Client

    return Client()


def _input(given: str | Mapping[str, Any]) -> Json:
    if isinstance(given, str):
        return _leaf(given)
    if not isinstance(given, Mapping):
        raise InvalidArgument(
            f"{given!r} is not an input", '@pachybox.pipeline("REPO@BRANCH:GLOB") over the function'
        )
    if len(given) == 1 and _KINDS.issuperset(given):
        return dict(given)
    leaves = [_leaf(text, name) for name, text in given.items()]
    return {"cross": leaves} if len(leaves) > 1 else leaves[0]


def _leaf(text: str, name: str = "") -> Json:
    """The pfs input that ``repo[@branch]:glob`` stands for."""
    where, colon, glob = text.partition(":")
    repo, at, branch = where.partition("@")
    if not colon or not glob or (at and not branch):
        raise InvalidArgument(
            f"{text!r} is not an input", "write REPO@BRANCH:GLOB, images@master:/*"
        )
    message = repo_message(repo)
    leaf = {"repo": message["name"], "branch": branch or "master", "glob": glob}
    if "/" in repo:
        leaf["project"] = message["project"]["name"]
    return {"pfs": {"name": name or message["name"], **leaf}}


def _arguments(function: Callable[..., object], inputs: Sequence[str]) -> str:
    """What main.py calls the function with."""
    left, made = list(inputs), []
    parameters = inspect.signature(function).parameters.values()
    wanted = [p for p in parameters if p.name != _OUT]
    for one in wanted:
        if one.name in left:
            left.remove(one.name)
    for one in parameters:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise InvalidArgument(
                f"{function.__name__} has the parameter {one}", "name its parameters one by one"
            )
        if one.name == _OUT:
            made.append(f'{_OUT}=_Path(_pfs, "out")')
            continue
        if one.name in inputs:
            name = one.name
        elif left:
            name = left.pop(0)
        elif one.default is not one.empty:
            continue
        else:
            raise InvalidArgument(
                f"{function.__name__} has no input for its parameter {one.name}",
                f"inputs: {', '.join(inputs)}",
            )
        made.append(f"{one.name}=_Path(_os.environ.get({name!r}) or f'{{_pfs}}/{name}')")
    return ", ".join(made)
