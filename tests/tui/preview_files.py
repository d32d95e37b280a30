"""Files for the tests of previews, made here, and a reader that counts what is read of them."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

CSV = b"ts,cam,lux\n" + b"".join(
    b"2024-07-01 00:%02d,%d,%s\n" % (n % 60, n % 4, b"" if n % 7 == 3 else b"%d.5" % n)
    for n in range(1200)
)
JSON = json.dumps({"name": "raw", "list": list(range(1200)), "deep": {"a": [None, "x"]}}).encode()
YAML = b"name: raw\nlist: [1, 2, {a: b}]\nmore:\n  - x\n  - y: &anchor z\n  - *anchor\n"
JSONL = b"".join(json.dumps({"n": n, "s": "x" * (n % 5)}).encode() + b"\n" for n in range(900))
MARKDOWN = b"# Title\n\nSome *text* with `code`.\n\n- one\n- two\n\n```python\nx = 1\n```\n"
PYTHON = b'"""A module."""\n\n\ndef f(x: int) -> str:\n    return f"{x}"  # why\n' * 40
BINARY = bytes(range(256)) * 100


class Bytes:
    """A reader of ``data`` that counts the bytes it gave."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.size, self.given = path, len(data), 0
        self._data = data

    async def read(self, offset: int, size: int) -> bytes:
        found = self._data[offset : offset + size]
        self.given += len(found)
        return found


@cache
def parquet(rows: int = 1000) -> bytes:
    """A Parquet file with numbers, text, nulls, lists and structs."""
    import duckdb

    with TemporaryDirectory() as directory:
        name = Path(directory) / "made.parquet"
        duckdb.connect().execute(
            f"""copy (select i as n, i * 0.5 as half, case when i % 3 > 0 then 'name' || i end as s,
                      [i, i + 1] as l, {{'a': i, 'b': 'x' || i}} as st
                      from range({rows}) t(i)) to '{name}'"""
        )
        return name.read_bytes()


@cache
def image(kind: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """An image: red above, blue below."""
    from PIL import Image

    made = Image.new("RGB", size, (255, 0, 0))
    made.paste((0, 0, 255), (0, size[1] // 2, *size))
    into = io.BytesIO()
    made.save(into, kind)
    return into.getvalue()


def all_kinds() -> dict[str, bytes]:
    """A whole file of each kind, by name."""
    return {
        "a.csv": CSV,
        "a.json": JSON,
        "a.yaml": YAML,
        "a.jsonl": JSONL,
        "a.md": MARKDOWN,
        "a.py": PYTHON,
        "a.bin": BINARY,
        "a.parquet": parquet(),
        "a.png": image(),
        "a.jpg": image("JPEG"),
        "a.gif": image("GIF"),
        "a.webp": image("WEBP"),
    }
