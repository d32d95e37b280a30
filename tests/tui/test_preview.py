"""A file's bytes become rows, a tree, lines or pixels, whatever the bytes are."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from textual.content import Content

from tests.examples import many
from tests.tui import preview_files as made
from tests.tui.preview_files import Bytes
from tui.preview import Limits, Pixels, Preview, Table, Text, Tree, parquet_reader, show
from tui.preview.images import fit
from tui.preview.kinds import kind, magic
from tui.preview.plain import clean, decode, lines

FILES = made.all_kinds()
ODD = "".join(map(chr, range(32)))
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=many(60))


async def seen(path: str, data: bytes, tab: str = "preview", **how: int) -> Preview:
    return await show(Bytes(path, data), tab, **how)


def table(preview: Preview) -> Table:
    assert isinstance(preview.body, Table), preview
    return preview.body


def text(preview: Preview) -> list[str]:
    assert isinstance(preview.body, Text), preview
    return [str(line) for line in preview.body.lines]


def tree(preview: Preview) -> Tree:
    assert isinstance(preview.body, Tree), preview
    return preview.body


def check(preview: Preview) -> None:
    """What holds of every preview: its cells fit, and nothing in it steers a terminal."""
    assert preview.tab in preview.tabs
    body = preview.body
    shown: list[str] = [*preview.facts, *preview.notes]
    if isinstance(body, Table):
        assert all(len(row) == len(body.columns) for row in body.rows)
        shown += [cell or "" for row in body.rows for cell in row]
        shown += [column.name for column in body.columns]
    elif isinstance(body, Text):
        shown += [str(line) for line in body.lines]
        assert all("\n" not in line for line in shown)
    elif isinstance(body, Tree):
        todo = list(body.nodes)
        for node in todo[:3000]:
            shown += [node.label, node.value]
            if node.open:
                todo += node.open()
    else:
        assert isinstance(body, Pixels)
    assert not set("".join(shown)) & set(ODD + "\x7f\x9b\u202e")


async def test_a_csv_is_shown_as_typed_columns_with_its_nulls_counted() -> None:
    preview = await seen("/2024/cam3.csv", made.CSV)
    body = table(preview)
    assert [(c.name, c.type, c.right) for c in body.columns] == [
        ("ts", "time", False),
        ("cam", "integer", True),
        ("lux", "number", True),
    ]
    assert len(body.rows) == 500
    assert body.rows[0] == ("2024-07-01 00:00", "0", "0.5")
    assert body.rows[3][2] is None
    assert preview.facts[:3] == ("first 500 of 1,200 rows", "3 columns", "nulls: 71 in lux")
    assert preview.more
    assert preview.tabs == ("preview", "raw", "schema", "hex")
    assert not (await show(Bytes("a.csv", made.CSV), limits=Limits().grown())).more


async def test_the_schema_of_a_csv_says_what_each_column_holds() -> None:
    rows = table(await seen("a.csv", made.CSV, "schema")).rows
    assert rows[1] == ("cam", "integer", "0", "0", "3")


@pytest.mark.parametrize(
    ("path", "data", "columns", "first"),
    [
        ("a.tsv", b"a\tb\n1\t2,5\n", ["a", "b"], ("1", "2,5")),
        ("a.csv", b"a;b\n1;2,5\n3;4,5\n", ["a", "b"], ("1", "2,5")),
        ("a.csv", b"a|b\n1|2\n", ["a", "b"], ("1", "2")),
        ("a.csv", b"1,2\n3,4\n", ["1", "2"], ("1", "2")),
        ("a.csv", b'a,b\n"x, ""y""\nz",2\n', ["a", "b"], ('x, "y"\u23cez', "2")),
        ("a.csv", b"a,b\n1\n1,2,3\n", ["a", "b", "3"], ("1", None, None)),
        ("a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n", ["a", "b"], ("1", "2")),
        ("a.csv", "a,b\nä,ö\n".encode("utf-16"), ["a", "b"], ("ä", "ö")),
        ("a.csv", "a,b\nä,ö\n".encode("latin-1"), ["a", "b"], ("ä", "ö")),
    ],
)
async def test_the_dialect_of_a_csv_is_guessed(
    path: str, data: bytes, columns: list[str], first: tuple[str | None, ...]
) -> None:
    body = table(await seen(path, data))
    assert [c.name for c in body.columns] == columns
    assert body.rows[0] == first


async def test_a_quote_that_never_closes_does_not_swallow_the_file() -> None:
    """Whatever limit another reader of the process has set."""
    limit = csv.field_size_limit(64 << 20)
    try:
        await _an_open_quote()
    finally:
        csv.field_size_limit(limit)


async def _an_open_quote() -> None:
    data = b'a,b\n"x,2\n' + b"1,2\n" * 60_000
    preview = await seen("a.csv", data)
    assert len(table(preview).rows) == 500
    assert any("quotes" in note for note in preview.notes)


async def test_of_a_large_csv_little_is_read() -> None:
    reader = Bytes("a.csv", made.CSV * 1000)
    preview = await show(reader)
    assert len(table(preview).rows) == 500
    assert reader.given <= 1 << 18
    assert preview.facts[0].startswith("first 500 of ~1,2")


async def test_a_parquet_is_shown_by_rows_schema_and_row_groups() -> None:
    preview = await seen("a.parquet", made.parquet())
    body = table(preview)
    assert [(c.name, c.type) for c in body.columns] == [
        ("n", "BIGINT"),
        ("half", "DECIMAL(21,1)"),
        ("s", "VARCHAR"),
        ("l", "BIGINT[]"),
        ("st", "STRUCT(a BIGINT, b VARCHAR)"),
    ]
    assert len(body.rows) == 200
    assert body.rows[1] == ("1", "0.5", "name1", "[1, 2]", "{'a': 1, 'b': x1}")
    assert body.rows[3][2] is None
    assert body.columns[2].nulls == 67
    assert preview.facts[0] == "first 200 of 1,000 rows"
    schema = table(await seen("a.parquet", made.parquet(), "schema"))
    assert [row[0] for row in schema.rows] == [
        *("n", "half", "s", "l", "  list", "    element", "st", "  a", "  b")
    ]
    groups = table(await seen("a.parquet", made.parquet(), "row groups"))
    assert groups.rows[0][:6] == ("0", "n", "1,000", "0", "0", "999")


async def test_of_a_large_parquet_only_the_first_pages_are_read() -> None:
    data = made.parquet(400_000)
    reader = Bytes("a.parquet", data)
    preview = await show(reader)
    assert len(table(preview).rows) == 200
    assert reader.given <= 4 << 20 < len(data)
    assert not preview.notes


async def test_the_reader_of_parquet_is_another_process_and_is_replaced_when_it_ends() -> None:
    assert len(table(await seen("a.parquet", made.parquet())).rows) == 200
    process = parquet_reader._reader._process
    assert process is not None
    process.kill()
    process.wait()
    assert len(table(await seen("a.parquet", made.parquet())).rows) == 200
    assert parquet_reader._reader._process is not process


async def test_a_column_of_a_parquet_that_does_not_fit_is_left_out_and_named() -> None:
    reader = Bytes("a.parquet", made.parquet(400_000))
    preview = await show(reader, limits=Limits(bytes=800_000))
    body = table(preview)
    assert reader.given <= 800_000
    assert 0 < len(body.columns) < 5
    assert body.rows[7][0] == "7"
    assert preview.more
    assert "left out" in preview.notes[0]


async def test_a_json_document_is_a_tree_made_as_it_is_opened() -> None:
    name, numbers, deep = tree(await seen("a.json", made.JSON)).nodes
    assert (name.label, name.value, name.open) == ("name", '"raw"', None)
    assert numbers.value == "[1,200]"
    assert numbers.open
    page = numbers.open()
    assert len(page) == 501
    assert page[-1].label == "\u2026 700 more"
    assert page[-1].open
    assert page[-1].open()[0].value == "500"
    assert deep.open
    assert [child.label for child in deep.open()] == ["a"]


async def test_of_a_json_document_that_is_cut_the_items_read_are_shown() -> None:
    data = b"[" + b",".join(b'{"n": %d}' % n for n in range(400_000)) + b"]"
    preview = await show(Bytes("a.json", data), limits=Limits(bytes=100_000))
    nodes = tree(preview).nodes
    assert nodes[0].value == "{1}"
    assert preview.more


async def test_a_yaml_document_is_a_tree() -> None:
    name, numbers, more = tree(await seen("a.yaml", made.YAML)).nodes
    assert (name.label, name.value) == ("name", "raw")
    assert numbers.open
    assert [n.value for n in numbers.open()] == ["1", "2", "{1}"]
    assert more.open
    assert [n.value for n in more.open()] == ["x", "{1}", "*anchor"]
    two = tree(await seen("a.yml", b"a: 1\n---\nb: 2\n"))
    assert [n.value for n in two.nodes] == ["{1}", "{1}"]


@pytest.mark.parametrize("deep", [b"[" * 100_000, b"- " * 100_000, b"{a: " * 50_000, b"&a [*a]"])
async def test_deep_and_endless_yaml_ends_soon(deep: bytes) -> None:
    check(await seen("a.yaml", deep))


@pytest.mark.parametrize("deep", [b"[" * 200_000, b'{"a":' * 200_000, b"9" * 6000])
async def test_deep_and_long_json_ends_soon(deep: bytes) -> None:
    check(await seen("a.json", deep))


async def test_json_lines_are_rows_with_a_column_a_key() -> None:
    body = table(await seen("a.jsonl", made.JSONL))
    assert [c.name for c in body.columns] == ["n", "s"]
    assert body.rows[3] == ("3", "xxx")
    assert len(body.rows) == 500
    odd = await seen("a.jsonl", b'{"n": 1, "l": [1]}\nno json\n{"n": null}')
    assert table(odd).rows == [(None, "1", "[1]"), ("no json", None, None), (None, None, None)]
    assert odd.notes == ("1 of these lines is not JSON",)


@pytest.mark.parametrize("kind_", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
async def test_an_image_is_shown_as_half_blocks(kind_: str) -> None:
    data = made.image(kind_, (640, 480))
    preview = await seen("a.ppm" if kind_ == "PPM" else "a", data, width=40, height=20)
    assert isinstance(preview.body, Pixels)
    assert (len(preview.body.lines[0]), len(preview.body.lines)) == (40, 15)
    (above, _), (_, below) = preview.body.lines[0][0], preview.body.lines[-1][0]
    assert above[0] > 200 > 50 > above[2]
    assert below[2] > 200 > 50 > below[0]
    assert preview.facts[:2] == (kind_, "640 x 480")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "I", "F", "CMYK"])
async def test_an_image_of_any_mode_is_shown(mode: str) -> None:
    import io

    from PIL import Image

    into = io.BytesIO()
    Image.new(mode, (20, 20)).save(into, "TIFF")
    preview = await seen("a.tif", into.getvalue())
    assert isinstance(preview.body, Pixels)
    assert len(preview.body.lines) == 10, preview.notes


async def test_an_image_that_would_fill_the_memory_is_not_decoded() -> None:
    data = made.image("PNG", (5000, 5000))
    preview = await seen("a.png", data)
    assert preview.body == Pixels(())
    assert "25 million pixels" in preview.notes[0]
    assert preview.more
    bomb = bytearray(data)
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    for limits in (Limits(), Limits().grown().grown().grown()):
        shown = await show(Bytes("a.png", bytes(bomb)), limits=limits)
        assert not isinstance(shown.body, Pixels) or shown.body == Pixels(())


def test_an_image_keeps_its_shape_in_the_pane() -> None:
    assert fit((200, 100), (40, 40)) == (40, 20)
    assert fit((10, 10), (40, 40)) == (10, 10)
    assert fit((1, 10_000), (40, 40)) == (1, 80)


async def test_markdown_is_laid_out_and_code_is_coloured() -> None:
    shown = text(await seen("README.md", made.MARKDOWN, width=40))
    assert any("Title" in line and "#" not in line for line in shown)
    assert " \u2022 one" in shown
    long = text(await seen("README.md", b"word " * 100, width=39))
    assert max(map(len, long)) < 39  # beside it stands a scrollbar
    raw = await seen("README.md", made.MARKDOWN, "raw")
    assert text(raw)[0] == "# Title"
    code = await seen("a.py", made.PYTHON)
    assert text(code) == made.PYTHON.decode().splitlines()
    assert isinstance(code.body, Text)
    assert sum(isinstance(line, Content) for line in code.body.lines) > 100
    assert code.body.numbered


async def test_binary_is_shown_as_hex_with_what_it_may_be() -> None:
    shown = text(await seen("a.bin", made.BINARY))
    assert shown[4].startswith("00000040  40 41 42 43 44 45 46 47  48 49")
    assert shown[4].endswith("@ABCDEFGHIJKLMNO")
    assert (await seen("a", b"\x1f\x8b\x08\0rest")).facts == ("gzip",)
    for name, data in FILES.items():
        assert text(await seen(name, data, "hex"))[0].startswith("00000000  ")
    assert (await seen("nothing.csv", b"")).kind == "empty"


def test_a_kind_is_told_by_content_before_name() -> None:
    assert kind("a.csv", made.parquet()[:100]) == "parquet"
    assert kind("a", made.image("JPEG")) == "image"
    assert kind("a.csv", made.BINARY) == "binary"
    assert kind("a.unknown", b"text") == "text"
    assert magic(b"PK\3\4").startswith("zip")


async def test_a_broken_file_is_shown_as_text_or_hex_with_the_reason() -> None:
    shown = await seen("a.json", b"no json")
    assert text(shown) == ["no json"]
    assert shown.notes[0].startswith("not shown as json: ")
    shown = await seen("a.parquet", made.parquet()[:-9])
    assert text(shown)[0].startswith("00000000  50 41 52 31")
    assert shown.notes == (
        "not shown as parquet: no Parquet footer at its end: it is cut or broken",
    )


async def test_what_the_reader_raises_is_not_hidden() -> None:
    class Broken(Bytes):
        async def read(self, offset: int, size: int) -> bytes:
            if offset:
                raise ConnectionError("gone")
            return await super().read(offset, size)

    with pytest.raises(ConnectionError):
        await show(Broken("a.csv", made.CSV))


@calm
@given(
    data=st.binary(max_size=400)
    | st.text(max_size=300).map(lambda t: t.encode("utf-8", "replace")),
    name=st.sampled_from([*FILES, "a", "a.tsv", "a.html"]),
    tab=st.sampled_from(["preview", "raw", "schema", "row groups", "hex", "other"]),
)
@example(b"PAR1" + b"\xff" * 20 + b"\xff\xff\xff\x7fPAR1", "a.parquet", "preview")
@example(b'"', "a.csv", "preview")
async def test_any_bytes_are_shown(data: bytes, name: str, tab: str) -> None:
    check(await seen(name, data, tab))


@calm
@given(name=st.sampled_from(sorted(FILES)), share=st.floats(0, 1), tab=st.integers(0, 3))
async def test_any_file_cut_anywhere_is_shown(name: str, share: float, tab: int) -> None:
    data = FILES[name]
    tabs = (await seen(name, data)).tabs
    check(await seen(name, data[: int(len(data) * share)], tabs[tab % len(tabs)]))


@calm
@given(
    name=st.sampled_from(["a.parquet", "a.png", "a.jpg", "a.gif", "a.webp", "a.yaml", "a.json"]),
    seed=st.integers(0, 1 << 30),
    count=st.integers(1, 20),
    tail=st.booleans(),
)
async def test_any_file_with_wrong_bytes_is_shown(
    name: str, seed: int, count: int, tail: bool
) -> None:
    chance, data = random.Random(seed), bytearray(FILES[name])
    for _ in range(count):
        data[chance.randrange(len(data) // 2 if tail else 0, len(data))] = chance.randrange(256)
    check(await seen(name, bytes(data)))


@calm
@given(st.text())
def test_no_text_steers_the_terminal(given_text: str) -> None:
    assert not set(clean(given_text)) & set(ODD.replace("\n", "").replace("\t", ""))
    assert "\x1b" not in "".join(lines(given_text))


def test_a_character_cut_at_the_end_is_left_out() -> None:
    assert decode("aä".encode()[:2], False) == ("a", "")
    assert decode("aä".encode("latin-1"), True)[0] == "aä"


async def test_a_hostile_text_takes_no_longer_than_it_may() -> None:
    for name, data in {
        "a.md": b"[" * 250_000,
        "a.csv": b'"' * 4_000_000,
        "a.py": b"((" * 120_000,
        "a.jsonl": b"{" * 3_000_000,
        "a.txt": b"\n" * 250_000,
    }.items():
        start = time.monotonic()
        check(await seen(name, data))
        assert time.monotonic() - start < 20, name  # the machine may be busy


def test_importing_the_preview_loads_no_decoder() -> None:
    heavy = ("PIL", "duckdb", "pygments", "yaml", "rich.markdown", "tree_sitter")
    code = f"import sys, tui.preview; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
