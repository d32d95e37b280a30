"""Writes what follows from the sync client: ``aio.py`` and docs/client.md's list of methods.

    python -m pachybox.client.generate

A test runs the same functions and compares, so neither can go stale.
"""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs" / "client.md"
PARTS = (
    "repos",
    "commits",
    "files",
    "pipelines",
    "templates",
    "jobs",
    "secrets",
    "metadata",
    "box",
)
_BY_HAND = frozenset({"put"})
_MARK = "<!-- methods, written by python -m pachybox.client.generate -->\n"


def _methods(module: str, name: str | None = None) -> list[tuple[ast.ClassDef, ast.FunctionDef]]:
    tree = ast.parse((HERE / f"{module}.py").read_text())
    return [
        (cls, node)
        for cls in tree.body
        if isinstance(cls, ast.ClassDef) and (name is None or cls.name == name)
        for node in cls.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def _signature(node: ast.FunctionDef) -> tuple[str, str]:
    """(parameters without self, the same passed on)."""
    args = node.args
    names = [a.arg for a in args.args[1:]] + [f"{a.arg}={a.arg}" for a in args.kwonlyargs]
    whole = ast.unparse(args).removeprefix("self").removeprefix(", ")
    return whole, ", ".join(names)


def _imports(module: str, nodes: list[ast.FunctionDef]) -> set[tuple[str, str]]:
    """Where the names in the annotations of ``nodes`` come from."""
    tree = ast.parse((HERE / f"{module}.py").read_text())
    known: dict[str, tuple[str, str]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            known.update({a.name: (statement.module, a.name) for a in statement.names})
        elif isinstance(statement, ast.Import):
            known.update({a.name: ("", a.name) for a in statement.names})
        elif isinstance(statement, ast.ClassDef):
            known[statement.name] = (f"pachybox.client.{module}", statement.name)
    used = {
        name.id
        for node in nodes
        for part in [node.args, *([node.returns] if node.returns else [])]
        for name in ast.walk(part)
        if isinstance(name, ast.Name)
    }
    return {known[name] for name in used - set(dir(builtins)) if name in known}


def _async_method(node: ast.FunctionDef, target: str) -> str:
    whole, passed = _signature(node)
    doc = ast.get_docstring(node, clean=False) or ""
    returns = ast.unparse(node.returns) if node.returns else "None"
    head = f"self, {whole}" if whole else "self"
    call = f"self._sync.{node.name}" if target == "client" else f"self._put.{node.name}"
    if returns.startswith("Stream["):
        return (
            f"    def {node.name}({head}) -> Async{returns}:\n"
            f'        """{doc}"""\n'
            f"        return self._stream(lambda: {call}({passed}))\n"
        )
    comma = ", " if passed else ""
    return (
        f"    async def {node.name}({head}) -> {returns}:\n"
        f'        """{doc}"""\n'
        f"        return await self._run({call}{comma}{passed})\n"
    )


def aio_source() -> str:
    """The text of ``aio.py`` before formatting."""
    imports: set[tuple[str, str]] = set()
    body = []
    for module in PARTS:
        found = [n for _c, n in _methods(module) if n.name not in _BY_HAND]
        imports |= _imports(module, found)
        body += [_async_method(node, "client") for node in found]
    put = [n for _c, n in _methods("upload", "Put")]
    imports |= _imports("upload", put)
    imports |= {
        ("pachybox.client.aio_base", "AsyncBase"),
        ("pachybox.client.aio_base", "AsyncStream"),
        ("pachybox.client.aio_base", "AsyncPutBase"),
    }
    imports.discard(("pachybox.client.base", "Stream"))
    lines = sorted(f"import {n}" if not m else f"from {m} import {n}" for m, n in imports)
    return _TEMPLATE.format(
        imports="\n".join(lines),
        client="\n".join(body),
        put="\n".join(_async_method(node, "put") for node in put),
    )


_TEMPLATE = '''"""The client for asyncio programs; written by pachybox.client.generate."""

from __future__ import annotations

{imports}


class AsyncPut(AsyncPutBase):
    """One upload under way; see ``Put``. Use as ``async with box.put(...) as put``."""

    async def __aenter__(self) -> AsyncPut:
        await self._open()
        return self

{put}

class AsyncClient(AsyncBase):
    """A box, from asyncio: the methods of ``Client``, awaited; streams by ``async for``."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def put(self, target: str, *, description: str = "") -> AsyncPut:
        """Begin an upload to ``repo@ref``: an ``async with`` block whose content is one commit."""
        return AsyncPut(self, target, description)

{client}
'''


def method_list() -> str:
    """The methods of ``Client`` as Markdown: a heading a part, a line a method."""
    out = []
    part = ""
    for module in PARTS:
        for cls, node in _methods(module):
            if cls.name != part:
                part = cls.name
                out.append(f"\n### {part}\n\n{(ast.get_docstring(cls) or '').splitlines()[0]}\n")
            whole, _passed = _signature(node)
            returns = ast.unparse(node.returns) if node.returns else "None"
            first = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
            out.append(f"* `{node.name}({whole}) -> {returns}`: {first}")
    return "\n".join(out) + "\n"


def docs_source(old: str) -> str:
    """docs/client.md with its list of methods renewed."""
    head, mark, _rest = old.partition(_MARK)
    return head + mark + method_list() if mark else f"{old}\n{_MARK}{method_list()}"


def main() -> None:
    """Write both files."""
    import subprocess
    import sys

    aio = HERE / "aio.py"
    aio.write_text(aio_source())
    for tail in (["check", "--select", "I,F401", "--fix", "-q"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *tail, str(aio)], check=True)
    DOCS.write_text(docs_source(DOCS.read_text() if DOCS.exists() else ""))


if __name__ == "__main__":
    main()
