"""The way from a file to its preview: which decoder, and what when it fails."""

from __future__ import annotations

from dataclasses import replace

from tui.preview import kinds
from tui.preview.hexed import show_hex
from tui.preview.plain import cell
from tui.preview.source import Limits, Reader, Source
from tui.preview.values import Preview, Text

FIRST = "preview"  # the tab every file has
_HEAD = 8 << 10
_RAW = ("preview", "raw", "hex")


async def show(
    reader: Reader,
    tab: str = FIRST,
    *,
    limits: Limits | None = None,
    width: int = 80,
    height: int = 40,
) -> Preview:
    """What ``tab`` shows of a file, for a pane of ``width`` x ``height`` cells.

    Raises only what ``reader`` raises. A ``tab`` the file does not have is its preview.
    """
    source = Source(reader, limits or Limits())
    if source.size == 0:
        return Preview("empty", Text(()), ("empty",), tabs=(FIRST,))
    head = await source.head(_HEAD)
    kind = kinds.kind(source.path, head)
    trouble = ""
    if tab != "hex" and kind != "binary":
        try:
            return await _decoded(source, kind, tab, (width, height))
        except Exception as e:  # whatever a decoder makes of bytes that anybody may have written
            if source.failed is not None:
                raise
            trouble = cell(" ".join(str(e).split()) or type(e).__name__, 200)
    return await _fallen(source, kind, tab, trouble, kinds.binary(head))


async def warm(path: str) -> bool:
    """Have ready what showing a file of this name takes long to start; whether it is something."""
    if kinds.named(path) != "parquet":
        return False
    from tui.preview.parquet_reader import warm as start

    await start()
    return True


async def _decoded(source: Source, kind: str, tab: str, cells: tuple[int, int]) -> Preview:
    if kind == "parquet":
        from tui.preview.parquet import TABS, show_parquet

        return await show_parquet(source, tab if tab in TABS else FIRST)
    if kind == "image":
        from tui.preview.images import show_image

        return await show_image(source, *cells)
    if tab == "raw" or kind == "text":
        from tui.preview.texts import show_text

        tabs = {"text": (FIRST, "hex"), "csv": (FIRST, "raw", "schema", "hex")}.get(kind, _RAW)
        shown = await show_text(source, tabs, kind != "csv")
        return replace(shown, kind=kind, tab=tab if tab in tabs else FIRST)
    if kind == "csv":
        from tui.preview.delimited import show_delimited

        return await show_delimited(source, tab if tab == "schema" else FIRST)
    if kind == "json":
        from tui.preview.trees import show_json

        return await show_json(source)
    if kind == "jsonl":
        from tui.preview.json_lines import show_json_lines

        return await show_json_lines(source)
    if kind == "yaml":
        from tui.preview.yaml_tree import show_yaml

        return await show_yaml(source)
    from tui.preview.texts import show_markdown

    return await show_markdown(source, cells[0] - 1)  # a scrollbar may take one


async def _fallen(source: Source, kind: str, tab: str, trouble: str, binary: bool) -> Preview:
    """Text or hex of what no decoder shows, with the reason; also the tab ``hex`` of any file."""
    notes = (f"not shown as {kind}: {trouble}",) if trouble else ()
    if trouble and not binary:
        from tui.preview.texts import show_text

        shown = await show_text(source, (FIRST, "hex"), coloured=False)
    else:
        shown = await show_hex(source)
        tabs = _tabs(kind) if tab == "hex" else (FIRST,)
        shown = replace(shown, tabs=tabs, tab="hex" if "hex" in tabs else FIRST)
    return replace(shown, notes=notes + shown.notes)


def _tabs(kind: str) -> tuple[str, ...]:
    """The tabs of a file of this kind, as long as it is not broken."""
    return {
        "parquet": (FIRST, "schema", "row groups", "hex"),
        "csv": (FIRST, "raw", "schema", "hex"),
        "image": (FIRST, "hex"),
        "text": (FIRST, "hex"),
        "binary": (FIRST,),
    }.get(kind, _RAW)
