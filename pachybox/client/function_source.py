"""A function's source as a program of its own: it, and what of its module it uses.

Works by the values that the function's global names have when it is sent: modules and what other
modules define are imported again, functions and classes of the same module (or notebook) come
along as text, plain constants as literals. Everything else is refused by name: what a function
holds of the program around it cannot be sent.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from pachybox.errors import InvalidArgument

_FUTURE = "from __future__ import annotations\n"
_INSIDE = "make it inside the function"


def text_of(function: Callable[..., object], beside: frozenset[str] = frozenset()) -> str:
    """The text of a module that defines the function under its name. ``beside`` are the files
    and directories that will lie next to it. Raises InvalidArgument naming what cannot be sent."""
    gathered = _Gathered(function, beside)
    gathered.definition(function)
    parts = [_FUTURE, "".join(f"{line}\n" for line in sorted(gathered.imports))]
    parts += [*gathered.constants, *gathered.definitions.values()]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


class _Gathered:
    """What one function needs."""

    def __init__(self, function: Callable[..., object], beside: frozenset[str]) -> None:
        self._whose = function.__name__
        self._home = function.__module__
        self._beside = beside
        self._known: dict[str, Any] = {}
        self.imports: set[str] = set()
        self.constants: list[str] = []
        self.definitions: dict[str, str] = {}

    def definition(self, value: Any) -> None:
        """A function or class of the same module, after all that it uses."""
        value = inspect.unwrap(value)
        name = value.__name__
        if name == "<lambda>":
            raise self._refused("a lambda", "define it by def")
        free = value.__code__.co_freevars if isinstance(value, FunctionType) else ()
        if free:
            raise self._refused(
                f"{name}, which uses {', '.join(free)} of the function around it",
                "define it at the top of its module, and give it what it needs",
            )
        try:
            text = textwrap.dedent(_source(value))
        except (OSError, TypeError) as e:
            raise self._refused(
                f"{name}, whose source is not known", "define it in a file or a notebook"
            ) from e
        around = _globals(value)
        text = _undecorated(text, around)
        self._known[name] = value
        self._inner_imports(text)
        for used in sorted(_global_names(text, name)):
            if used in around:
                self._name(used, around[used], text)
            elif not hasattr(builtins, used):
                raise self._refused(f"{used}, which {name} uses and nothing defines", "define it")
        self.definitions[name] = text

    def _name(self, name: str, value: Any, text: str) -> None:
        """What makes ``value`` known as ``name``."""
        if name in self._known and not isinstance(value, ModuleType):
            if self._known[name] is not inspect.unwrap(value):
                raise self._refused(f"two things called {name}", "rename one of them")
            return
        self._known[name] = inspect.unwrap(value)
        if isinstance(value, ModuleType):
            self._module(name, value, text)
        elif isinstance(found := inspect.unwrap(value), FunctionType | type) and (
            found.__module__ == self._home
        ):
            if found.__name__ != name:
                raise self._refused(f"{name}, which is {found.__name__}", "use its own name")
            self.definition(found)
        elif imported := _imported(name, value):
            self._local(sys.modules[value.__module__])
            self.imports.add(imported)
        elif _is_plain(value):
            self.constants.append(f"{name} = {value!r}")
        else:
            raise self._refused(f"{name}, a {type(value).__name__} of its module", _INSIDE)

    def _module(self, name: str, module: ModuleType, text: str) -> None:
        self._local(module)
        whole = module.__name__
        self.imports.add(f"import {whole}" if name == whole else f"import {whole} as {name}")
        if name == whole:  # import a.b is known as a
            for chain in _chains(text, name):
                if isinstance(sys.modules.get(chain), ModuleType):
                    self.imports.add(f"import {chain}")

    def _inner_imports(self, text: str) -> None:
        """Refuse imports within a function of what lies beside its module, unless it is sent."""
        folder = _top(sys.modules.get(self._home))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                if node.level:
                    raise self._refused("a relative import", "import it by its whole name")
                imported = [node.module or ""]
            else:
                imported = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for name in imported:
                top = name.partition(".")[0]
                for place in (folder / f"{top}.py", folder / top / "__init__.py"):
                    if place.is_file():
                        self._beside_it(top, place)

    def _local(self, module: ModuleType) -> None:
        """Refuse a module that lies in the directory of the function's, unless it is sent."""
        place = getattr(module, "__file__", None)
        if place is not None:
            self._beside_it(module.__name__.partition(".")[0], Path(place))

    def _beside_it(self, top: str, place: Path) -> None:
        """Refuse what is imported from ``top``, whose file is ``place``, if that is beside the
        function's module (or the package it is in) and is not sent."""
        folder = _top(sys.modules.get(self._home))
        path = place.resolve()
        inner = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
        if not self._beside.isdisjoint({top, f"{top}.py"}):
            return
        if inner and inner[0].removesuffix(".py") == top:
            here = folder / inner[0]
            raise self._refused(
                f"the module {top} beside it", f"give it too: files=[{str(here)!r}]"
            )

    def _refused(self, what: str, hint: str) -> InvalidArgument:
        return InvalidArgument(f"function {self._whose} cannot be sent with {what}", hint)


def _top(module: ModuleType | None) -> Path:
    """The directory from which a module, or the outermost package it is in, is imported."""
    place = getattr(module, "__file__", None)
    if not place:
        return Path.cwd()
    spec = getattr(module, "__spec__", None)  # run by -m, a module's own name is __main__
    name = spec.name if spec is not None else getattr(module, "__name__", "")
    above = name.count(".") + hasattr(module, "__path__")
    return Path(place).resolve().parents[above]


def _source(value: Any) -> str:
    """The text of a function or class. Raises OSError or TypeError when it is not known."""
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        if not isinstance(value, type):
            raise
    # a class of a notebook: no file is known of it, but of each cell there is the text
    for cell in reversed([entry[2] for entry in linecache.cache.values() if len(entry) == 4]):
        if not any(value.__name__ in line for line in cell):
            continue
        try:
            tree = ast.parse("".join(cell))
        except SyntaxError:  # a cell that did not run
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == value.__name__:
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                return "".join(cell[first - 1 : node.end_lineno])
    raise OSError(f"no cell defines {value.__name__}")


def _globals(value: Any) -> Mapping[str, Any]:
    if isinstance(value, FunctionType):
        return value.__globals__
    return vars(sys.modules[value.__module__])


def _undecorated(text: str, around: Mapping[str, Any]) -> str:
    """The text from below the decorator that made it a pipeline."""
    from pachybox.client.functions import pipeline

    statement = ast.parse(text).body[0]
    for decorator in getattr(statement, "decorator_list", ()):
        if isinstance(decorator, ast.Call) and _value(decorator.func, around) is pipeline:
            return "".join(text.splitlines(keepends=True)[decorator.end_lineno :])
    return text


def _value(node: ast.expr, around: Mapping[str, Any]) -> object:
    """What a dotted name stands for; None when it is something else."""
    if isinstance(node, ast.Name):
        return around.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_value(node.value, around), node.attr, None)
    return None


def _global_names(text: str, own: str) -> set[str]:
    """The global names that a definition uses, annotations aside."""
    found: set[str] = set()
    todo = [symtable.symtable(_FUTURE + text, "<source>", "exec")]
    while todo:
        table = todo.pop()
        if table.get_type() == "annotation":  # of Python 3.14
            continue
        todo += table.get_children()
        top = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (top or symbol.is_global()):
                found.add(symbol.get_name())
    return found - {own, "annotations"} - {name for name in found if name.startswith("__")}


def _chains(text: str, name: str) -> Iterator[str]:
    """The dotted names that begin with ``name``."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            chain = ast.unparse(node)
            if chain.startswith(f"{name}.") and chain.replace(".", "").isidentifier():
                yield chain


def _imported(name: str, value: Any) -> str:
    """The statement that imports a value by where it is defined; empty when it cannot be."""
    module, called = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(called, str) or module == "__main__":
        return ""
    if getattr(sys.modules.get(module), called, None) is not value:
        return ""
    if module == "builtins":
        return "" if called == name else f"from builtins import {called} as {name}"
    return f"from {module} import {called}" + ("" if called == name else f" as {name}")


def _is_plain(value: object) -> bool:
    """Whether a value is one that Python's literals write."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
