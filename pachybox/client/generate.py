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
    *("repos", "commits", "blocks", "files", "filesets", "pipelines", "build_pipelines"),
    *("python_pipelines", "trials", "ingests", "defaults", "jobs", "log_parts", "specs"),
    *("secrets", "tokens", "metadata", "lineage", "box", "backups", "views", "demo"),
)
_BY_HAND = frozenset({"put", "commit", "transaction", "open"})
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
    if args.kwarg:
        names.append(f"**{args.kwarg.arg}")
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
    call = f"self.{target}.{node.name}"
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
        body += [_async_method(node, "_sync") for node in found]
    put = [n for _c, n in _methods("upload", "Put")]
    imports |= _imports("upload", put)
    commit = [n for _c, n in _methods("sessions", "OpenCommit") if n.name not in _BY_HAND]
    imports |= _imports("sessions", commit)
    imports |= {
        ("pachybox.client.aio_base", "AsyncBase"),
        ("pachybox.client.aio_base", "AsyncStream"),
        ("pachybox.client.aio_base", "AsyncBlock"),
        ("pachybox.client.aio_base", "AsyncPutBase"),
        ("pachybox.client.sessions", "OpenCommit"),
        ("pachybox.client.sessions", "Transaction"),
        ("pachybox.client.values", "Json"),
    }
    imports.discard(("pachybox.client.base", "Stream"))
    lines = sorted(f"import {n}" if not m else f"from {m} import {n}" for m, n in imports)
    return _TEMPLATE.format(
        imports="\n".join(lines),
        client="\n".join(body),
        put="\n".join(_async_method(node, "_put") for node in put),
        commit="\n".join(_async_method(node, "_block") for node in commit),
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

class AsyncCommit(AsyncBlock[OpenCommit]):
    """An open commit; see ``OpenCommit``. Use as ``async with box.commit(...) as commit``."""

    async def __aenter__(self) -> AsyncCommit:
        await self._open()
        return self

    def __str__(self) -> str:
        return str(self._block)

    def put(self) -> AsyncPut:
        """Begin an upload of several changes to this commit."""
        return AsyncPut(self._client, str(self), "", None)

{commit}

class AsyncTransaction(AsyncBlock[Transaction]):
    """A transaction; see ``Transaction``. Use as ``async with box.transaction()``."""

    async def __aenter__(self) -> AsyncTransaction:
        await self._open()
        return self

    @property
    def info(self) -> Json:
        """What was done, once the block has ended well."""
        return self._block.info


class AsyncClient(AsyncBase):
    """A box, from asyncio: the methods of ``Client``, awaited; streams by ``async for``."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def put(
        self, target: str, *, description: str = "", progress: Progress | None = None
    ) -> AsyncPut:
        """Begin an upload to ``repo@ref``: an ``async with`` block whose content is one commit."""
        return AsyncPut(self, target, description, progress)

    def commit(
        self, branch: str, *, parent: str | None = None, description: str = ""
    ) -> AsyncCommit:
        """An open commit on ``repo@branch``: finished at the block's end, dropped by an error."""
        return AsyncCommit(self, OpenCommit(self._sync, branch, parent, description))

    def transaction(self) -> AsyncTransaction:
        """A transaction: what is asked in the block is done at its end, all of it or nothing."""
        return AsyncTransaction(self, Transaction(self._sync))

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
