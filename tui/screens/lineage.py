"""Mode 6: what came from what. A list of runs; of one commit or job the tree up or down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from pachybox.client.values import CommitInfo, CommitSetInfo
from pachybox.errors import NotFound, PachyboxError
from tui import glyphs
from tui.bindings import bindings
from tui.keymap import LIST, Key
from tui.places import JOB, LINEAGE, REPO, Place
from tui.screens import home_values
from tui.screens.home_values import Thing
from tui.screens.lineage_graph import looks, nodes_of
from tui.screens.lineage_tree import (
    DOWN,
    MOST,
    UP,
    Kin,
    kin_of,
    label,
    of_spec,
    shown_runs,
)
from tui.screens.view import View
from tui.shown import age, visible
from tui.store import SUMMARY
from tui.widgets.dag import Dag
from tui.widgets.rows import Column, LocalRows, Row
from tui.widgets.table import VirtualTable

_RUNS = 500  # runs listed: older ones are found by their id, at the prompt
COLUMNS = (
    Column("state", "", 1, keep=9),
    Column("id", "RUN", 12, sort="id", keep=9),
    Column("age", "AGE", 5, right=True, sort="age", keep=8),
    Column("from", "FROM", 12, 1, sort="from", keep=7),
    Column("commits", "COMMITS", 7, right=True, sort="commits", keep=6),
)
_TREE = {
    "cursor_down": "cursor_down",
    "cursor_up": "cursor_up",
    "top": "scroll_home",
    "bottom": "scroll_end",
    "page_down": "page_down",
    "page_up": "page_up",
    "half_down": "half(1)",
    "half_up": "half(-1)",
    "open": "select_cursor",
    "cursor_left": "cursor_parent",
    "cursor_right": "toggle_node",
}


class KinTree(Tree[Kin]):
    """The tree, with the keys of lists."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(LIST, _TREE)
    DEFAULT_CSS = "KinTree { background: $surface; height: 1fr; }"

    def action_half(self, way: int) -> None:
        """Half a page down, or up."""
        lines = max(self.last_line, 0)
        self.cursor_line = min(max(self.cursor_line + way * self.size.height // 2, 0), lines)


class Lineage(View):
    """Runs to the left; to the right what the chosen commit came from, or what came from it, and
    below that its run in the graph of pipelines."""

    mode: ClassVar[str] = LINEAGE
    footer_ids: ClassVar[tuple[str, ...]] = ("list.open", "view.upstream", "view.downstream")
    DEFAULT_CSS = """
    Lineage #runs { width: 44; }
    Lineage #right { width: 1fr; }
    Lineage #kin { height: 3fr; }
    Lineage #graph { height: 2fr; }
    Lineage.-one #graph { display: none; }
    Lineage.-one .body { layout: vertical; }
    Lineage.-one #runs { width: 1fr; height: 1fr; }
    Lineage.-one #right { height: 2fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows = LocalRows(known=False)
        self._sets: dict[str, CommitSetInfo] = {}
        self._run: list[CommitInfo] = []
        self._in_run: dict[str, CommitInfo] = {}  # nodes of the graph
        self._of = Place(LINEAGE)
        self._way = UP
        self._stale = self._reading = False
        self._fixed = False  # a place was named: the cursor in the list does not change it

    def body(self) -> ComposeResult:
        with Horizontal(classes="body"):
            yield VirtualTable(
                COLUMNS,
                self._rows,
                empty="nothing was committed yet: 2, then n makes a repo, p puts a file",
                marks=False,
                id="runs",
                classes="pane",
            )
            with Vertical(id="right"):
                with Vertical(id="kin", classes="pane"):
                    tree = KinTree("no run is chosen", id="tree")
                    tree.show_root = True
                    tree.guide_depth = 3
                    yield tree
                ascii = self.frame.ascii_only
                yield Dag(id="graph", classes="pane", empty="loading ...", ascii=ascii)

    def on_mount(self) -> None:
        """Read the runs."""
        self._runs.border_title = "Runs"
        self._pane_title()
        self._graph.border_title = "Run"
        self._runs.focus()
        self._draw_graph()
        self.reload()

    @property
    def _runs(self) -> VirtualTable:
        return self.query_one("#runs", VirtualTable)

    @property
    def _tree(self) -> KinTree:
        return self.query_one("#tree", KinTree)

    @property
    def _graph(self) -> Dag:
        return self.query_one("#graph", Dag)

    def crumbs(self) -> Sequence[str]:
        """The commit whose lineage is shown."""
        return ["Lineage", str(self._of)] if self._of.name else ["Lineage"]

    def place(self) -> Place:
        """The commit whose lineage is shown."""
        return self._of

    def show(self, place: Place) -> None:
        """The lineage of a commit, a branch's head, a job or a file; ``pane`` is up or down."""
        self._fixed = True
        self._way = DOWN if place.pane == DOWN else UP
        self._turn_to(place)
        self._tree.focus()

    def changed(self, topics: frozenset[str]) -> None:
        """New commits are new runs."""
        if topics & {"commit", "job", "reset"}:
            self.reload()
        if topics & {SUMMARY, "reset"}:
            self._draw_graph()

    def reload(self) -> None:
        """Read the runs again; the tree stays. While they are read, once more after that: a box
        that commits all the time would otherwise never get to the end."""
        self._stale = True
        if not self._reading:
            self.load(self._read_all(), group="runs")

    # The list of runs

    async def _read_all(self) -> None:
        self._reading = True
        try:
            while self._stale:
                self._stale = False
                await self._read_runs()
        finally:
            self._reading = False

    async def _read_runs(self) -> None:
        found: dict[str, CommitSetInfo] = {}
        async with self.frame.feed.box.list_commit_set() as sets:
            async for one in sets:
                if any(not of_spec(info.repo) for info in one.commits):
                    found[one.id] = one
                if len(found) >= _RUNS:
                    break
        self._sets = found
        self._rows.set([self._row(one) for one in found.values()])
        self._runs.border_title = f"Runs {len(found)}{'+' if len(found) >= _RUNS else ''}"
        self._runs.refresh_rows()

    def _row(self, run: CommitSetInfo) -> Row:
        infos = [info for info in run.commits if not of_spec(info.repo)]
        errors = any(info.error for info in infos)
        still = any(info.finished is None for info in infos)
        state = "failure" if errors else "running" if still else "success"
        times = [info.started for info in infos if info.started]
        begun = min(times) if times else None
        cells = (
            Text(glyphs.job(state).sign(self.frame.ascii_only)),
            run.id[:12],
            age(begun, self.frame.store.now),
            shown_runs(run.commits),
            str(len(infos)),
        )
        keys = (state, run.id, -begun.timestamp() if begun else 0.0, cells[3], len(infos))
        style = {"failure": "failed", "running": "running"}.get(state, "")
        return Row(run.id, cells, style, keys)

    def on_virtual_table_highlighted(self, event: VirtualTable.Highlighted) -> None:
        """Another run: its lineage, from the last commit that it made."""
        if event.row_id and not self._fixed:
            self._look_at_run(event.row_id)

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """Enter: into the tree of that run."""
        self._fixed = False
        self._look_at_run(event.row_id)
        self._tree.focus()

    def _look_at_run(self, id: str) -> None:
        run = self._sets.get(id)
        infos = [i for i in run.commits if not of_spec(i.repo)] if run else []
        if not infos:
            return
        # Up from what nothing was made of here, down from what was made of nothing here.
        read = {name for i in infos for name in i.direct_provenance}
        ends = [
            i
            for i in infos
            if (f"{i.repo}@{i.id}" not in read if self._way == UP else not i.direct_provenance)
        ]
        info = (ends or infos)[-1]
        self._turn_to(Place(LINEAGE, info.repo, info.id))

    # The tree

    def _turn_to(self, place: Place) -> None:
        self._of = Place(LINEAGE, place.name, place.ref or "master", place.path)
        self._pane_title()
        self.load(self._read_kin(), group="kin")

    def _pane_title(self) -> None:
        words = "came from" if self._way == UP else "became"
        of = visible(str(self._of)) if self._of.name else "What a run"
        self.query_one("#kin").border_title = Content(f"{of} {words}").markup

    async def _read_kin(self) -> None:
        of = self._of
        tree = self._tree
        try:
            root, walked = await kin_of(self.frame.feed.box, f"{of.name}@{of.ref}", self._way)
        except NotFound as e:
            tree.reset(Text(str(e)))
            return
        except PachyboxError as e:
            tree.reset(Text(f"not loaded: {e}"))
            raise
        if of != self._of:
            return
        tree.reset(self._label(root, of.path), root)
        self._grow(tree.root, root)
        tree.root.expand_all()
        if walked > MOST:
            tree.root.add_leaf(Text(f"and more: {MOST} commits were walked", "dim"))
        async with self.frame.feed.box.inspect_commit_set(root.commit.id) as run:
            self._run = [info async for info in run if not of_spec(info.repo)]
        self._draw_graph()
        self._point((self.kin or root).commit.repo)
        self.renew()

    def _draw_graph(self) -> None:
        """The commits that share the id stand out among all that pipelines read and make."""
        summary = self.frame.store.summary
        if summary is None or not self.is_mounted:
            return
        graph = self._graph
        items = home_values.graph(summary)
        self._in_run = nodes_of(items, self._run)
        graph.empty = "no pipelines yet: 3, then n makes one"
        graph.set_graph(items)
        graph.set_looks(looks(summary, items, self._in_run))
        graph.highlight(self._in_run if self._run else None)
        if self._run:
            many = f"{len(self._run)} commit{'s' * (len(self._run) != 1)}"
            graph.border_title = f"Run {self._run[0].id[:12]}: {many}"

    def _grow(self, node: TreeNode[Kin], kin: Kin) -> None:
        for one in kin.kin:
            child = node.add(self._label(one, ""), one, allow_expand=bool(one.kin))
            self._grow(child, one)

    def _label(self, kin: Kin, path: str) -> Text:
        return label(kin, self.frame.store, path, self.frame.ascii_only)

    @property
    def kin(self) -> Kin | None:
        """The commit under the cursor of the tree."""
        node = self._tree.cursor_node
        return node.data if node is not None else None

    @property
    def chosen(self) -> CommitInfo | None:
        """The commit under the cursor of the focused pane: the graph's, else the tree's."""
        if self.focused is self._graph:
            return self._in_run.get(self._graph.cursor)
        return self.kin.commit if self.kin is not None else None

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Kin]) -> None:
        """The same commit in the graph."""
        if event.node.data is not None:
            self._point(event.node.data.commit.repo)

    def _point(self, repo: str) -> None:
        for node in self._graph.nodes:
            if Thing.of(node).name == repo:
                self._graph.select(node)

    def on_dag_highlighted(self) -> None:
        """Verbs act on another commit."""
        self.renew()

    def on_dag_opened(self, event: Dag.Opened) -> None:
        """Enter: the files of the run's commit there; without one, what the node is."""
        info = self._in_run.get(event.node)
        if info is not None:
            self.frame.visit(Place(REPO, info.repo, info.id))
        elif place := Thing.of(event.node).place:
            self.frame.visit(place)

    def on_tree_node_selected(self, event: Tree.NodeSelected[Kin]) -> None:
        """Enter: the job that made it, else its files."""
        event.stop()
        kin = event.node.data
        if kin is None:
            return
        if kin.job is not None:
            self.frame.visit(Place(JOB, kin.job.pipeline, kin.job.id))
        else:
            path = self._of.path if event.node is self._tree.root else ""
            self.frame.visit(Place(REPO, kin.commit.repo, kin.commit.id, path))

    # Verbs

    def why_not(self, key: Key) -> str:
        """Verbs act on the commit under the cursor."""
        if key.id in ("copy", "save", "yaml") and self.chosen is None:
            return "no commit is selected"
        return ""

    def do_upstream(self) -> None:
        """<: what it came from."""
        self._turn(UP)

    def do_downstream(self) -> None:
        """>: what came from it."""
        self._turn(DOWN)

    def _turn(self, way: str) -> None:
        self._way = way
        info = self.chosen if self.focused in (self._tree, self._graph) else None
        if info is not None:
            self._fixed = True
            root = self._tree.root.data
            path = self._of.path if root is not None and info == root.commit else ""
            self._turn_to(Place(LINEAGE, info.repo, info.id, path))
        elif self._fixed:
            self._turn_to(self._of)
        elif self._runs.cursor_id:
            self._look_at_run(self._runs.cursor_id)

    def copies(self) -> list[tuple[str, str]]:
        """y: the commit, and its id alone."""
        info = self.chosen
        return [("commit", str(info)), ("id", info.id)] if info else []
