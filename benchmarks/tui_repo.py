"""The repo view on a real box: a folder of 50,000 entries, previews of 1,000,000 rows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual._compositor import CompositorUpdate
from textual.screen import Screen
from textual.widgets import Tree

from benchmarks.harness import Box, Row, below, fresh, label, note, report, running, scaled
from benchmarks.tui import SIZE, lags, painted, shown
from pachybox.client import AsyncClient
from tui.app import PachyApp
from tui.choices import Choices
from tui.places import REPO, Place
from tui.screens.repo_tree import FileTree
from tui.screens.repo_view import RepoView

ENTRIES = 50_000
ROWS = 1_000_000
GIVE_UP_S = 60.0


class Timed(PachyApp):
    """The terminal, which knows when it painted last."""

    at = 0.0

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        super()._display(screen, renderable)
        if isinstance(renderable, CompositorUpdate):
            self.at = time.perf_counter()

    @property
    def repo(self) -> RepoView:
        """The view in front."""
        assert isinstance(self.view, RepoView)
        return self.view


@asynccontextmanager
async def terminal(box: Box, place: Place) -> AsyncIterator[Timed]:
    """The terminal at a place of the box, with its files shown."""
    socket = str(box.home / "run" / "box.sock")
    app = Timed(lambda: AsyncClient(socket), start=place, choices=Choices(box.home / "tui.json"))
    async with app.run_test(size=SIZE):
        while not isinstance(app.view, RepoView) or total(app) == 0:
            await asyncio.sleep(0.005)
        yield app


def total(app: Timed) -> int:
    """Rows of the tree in front."""
    found = app.repo.query(FileTree)
    return found.first().total if found else 0


async def until(app: Timed, start: float, ready: Callable[[], bool]) -> float:
    """Seconds from ``start`` to the first paint at which it is ready."""
    while not ready():
        await asyncio.sleep(0.001)
        if time.perf_counter() - start > GIVE_UP_S:
            raise TimeoutError(f"{app.view!r} after {GIVE_UP_S:.0f} s")
    came = time.perf_counter()
    while app.at < came and time.perf_counter() - came < 0.5:
        await asyncio.sleep(0.001)
    return (app.at if app.at >= came else came) - start


async def key(app: Timed, name: str, ready: Callable[[], bool]) -> float:
    """Seconds from a key until what it does is painted."""
    start = time.perf_counter()
    app.simulate_key(name)
    return await until(app, start, ready)


async def folder(box: Box, entries: int) -> None:
    """A folder unfolded, gone through and filtered."""
    what = f"folder of {label(entries)} entries"
    async with terminal(box, Place(REPO, "many")) as app, lags() as late:
        files = app.repo.file_tree
        await asyncio.sleep(0.5)
        late.clear()
        open_s = await key(app, "right", lambda: files.total == entries + 1)
        below(
            f"{what}: on the screen", open_s, "s", 0.5, f"Tree of Textual {await peer(entries)} s"
        )
        end_s = await key(app, "G", lambda: files.row(entries) is not None)
        below(f"{what}: to its end (G)", end_s, "s", 0.3)
        assert files.files is not None
        report(Row(f"{what}: entries fetched for that", files.files.known, "entries"))
    async with terminal(box, Place(REPO, "tables")) as app:
        start = time.perf_counter()
        app.visit(Place(REPO, "many", path="/all/000001.txt"))
        seconds = await until(
            app,
            start,
            lambda: isinstance(app.view, RepoView) and total(app) > entries,
        )
        below(f"{what}: gone to by name", seconds, "s", 0.5)


async def peer(entries: int) -> str:
    """Textual's own tree with as many children."""
    async with shown() as app:
        start = time.perf_counter()
        tree: Tree[None] = Tree("all")
        tree.root.expand()
        for number in range(entries):
            tree.root.add_leaf(f"{number:06d}.txt")
        await app.mount(tree)
        return f"{await painted(app, start, lambda: tree.virtual_size.height > entries):.2g}"


async def previews(box: Box, local: Path) -> None:
    """The files of a repo, one after the other: cold, and once more."""
    async with terminal(box, Place(REPO, "tables")) as app:
        await asyncio.sleep(0.5)
        for again in ("first", "again"):
            for name, done in (("rows.csv", "csv"), ("rows.parquet", "parquet")):
                await away(app)
                async with lags() as late:
                    start = time.perf_counter()
                    app.repo.file_tree.show_row(f"/{name}")
                    seconds = await until(app, start, lambda done=done: showing(app) == done)
                beside = reference(local / name) if again == "again" else ""
                rows = label(scaled(ROWS, 1000))
                below(f"preview of {rows} rows, {done}, {again}", seconds, "s", 0.3, beside)
                held = 1000 * max(late, default=0.0)
                below(f"preview, {done}, {again}: the loop is held", held, "ms", 50)


async def away(app: Timed) -> None:
    """The cursor on another file, until that is shown."""
    app.repo.file_tree.show_row("/other.txt")
    while showing(app) != "text":
        await asyncio.sleep(0.005)


def showing(app: Timed) -> str:
    """The kind of file that the pane shows."""
    path, kind = app.repo.path, str(app.repo.preview.border_title).split("  ")
    return kind[2] if len(kind) > 2 and kind[0] == path else ""


def reference(path: Path) -> str:
    """The same rows by DuckDB on the file itself."""
    import duckdb  # the terminal loads it when it shows the first Parquet file, which is measured

    with duckdb.connect() as connection:
        start = time.perf_counter()
        connection.execute(f"select * from '{path}' limit 500").fetchall()
        return f"DuckDB on the file {time.perf_counter() - start:.2g} s"


def tables(rows: int) -> Path:
    """A CSV and a Parquet file of so many rows."""
    made = fresh("tables")
    code = f"""import duckdb
duckdb.sql("create view t as select i as number, timestamp '2026-01-01' + to_seconds(i) as at, "
    "random() as value, 'camera ' || (i % 12) as name, md5(i::varchar) as hash "
    "from range({rows}) r(i)")
duckdb.sql("copy t to '{made}/rows.csv'")
duckdb.sql("copy t to '{made}/rows.parquet'")"""
    subprocess.run([sys.executable, "-c", code], check=True)
    (made / "other.txt").write_text("other\n")
    return made


def main() -> None:
    """Print the rows."""
    entries, rows = scaled(ENTRIES, 1000), scaled(ROWS, 1000)
    with running("repos in the terminal") as box, box.client() as client:
        note(f"a folder of {entries} entries, tables of {rows} rows")
        client.create_repo("many")
        with client.put("many@master") as put:
            for number in range(entries):
                put.data(f"/all/{number:06d}.txt", b"x")
        client.create_repo("tables")
        local = tables(rows)
        client.put_files("tables@master:/", local)
        for path in sorted(local.iterdir()):
            note(f"{path.name}: {path.stat().st_size:,} bytes")
        asyncio.run(folder(box, entries))
        asyncio.run(previews(box, local))


if __name__ == "__main__":
    main()
