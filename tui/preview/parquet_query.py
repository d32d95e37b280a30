"""What DuckDB is asked about a Parquet file: a program that answers a JSON line for each it reads.

A process of its own, for two reasons: loading DuckDB would hold the terminal's loop for a fifth of
a second, and a file that crashes the reader must not end the terminal. It imports nothing else of
this package, which makes it start fast, and ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import duckdb

STATISTICS = 5_000
CELL = 400
_SAFE: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,  # the first rows come from the first row group, in order
    "memory_limit": "512MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


class Asked:
    """The questions, by name. ``file`` is the path of a Parquet file that may be mostly hole."""

    def __init__(self) -> None:
        self._ask = duckdb.connect(":memory:", config=_SAFE)

    def _all(self, question: str, *values: object) -> list[Any]:
        return self._ask.execute(question, list(values)).fetchall()

    def layout(self, file: str) -> dict[str, Any]:
        """Rows, columns, and where the first row group with rows has the bytes of each leaf."""
        (maker, rows, groups), *_ = self._all(
            "select created_by, num_rows, num_row_groups from parquet_file_metadata(?)", file
        )
        described = self._all("describe select * from read_parquet(?)", file)
        tops = _tops(self._all("select num_children from parquet_schema(?)", file)[1:])
        chunks = self._all(
            """select row_group_num_rows, column_id,
                      coalesce(least(nullif(dictionary_page_offset, 0), data_page_offset),
                               data_page_offset),
                      total_compressed_size, num_values
               from parquet_metadata($1)
               where row_group_id = (select min(row_group_id) from parquet_metadata($1)
                                     where row_group_num_rows > 0)""",
            file,
        )
        return {
            "rows": rows,
            "groups": groups,
            "maker": maker or "",
            "columns": [row[:2] for row in described],
            "first": chunks[0][0] if chunks else 0,
            "chunks": [(tops[row[1]], *row[2:]) for row in chunks],
        }

    def rows(self, file: str, columns: Sequence[str], most: int) -> dict[str, Any]:
        """The first rows, and the places of those of ``columns`` that can be decoded."""
        places = list(range(len(columns)))
        try:
            return {"places": places, "rows": self._rows(file, columns, most)}
        except duckdb.Error:
            places = [n for n in places if self._readable(file, columns[n], most)]
            if not places:
                raise
            return {
                "places": places,
                "rows": self._rows(file, [columns[n] for n in places], most),
            }

    def _readable(self, file: str, column: str, most: int) -> bool:
        try:
            self._rows(file, [column], most)
        except duckdb.Error:
            return False
        return True

    def _rows(self, file: str, columns: Sequence[str], most: int) -> list[Any]:
        if not columns or not most:
            return []
        asked = ", ".join(f"left(cast({_quoted(c)} as varchar), {CELL})" for c in columns)
        return self._all(f"select {asked} from read_parquet(?) limit {most:d}", file)

    def schema(self, file: str) -> list[Any]:
        """The columns, depth first: name, DuckDB's type, how stored, meaning, presence, children.
        The first is the root."""
        return self._all(
            """select name, coalesce(duckdb_type, ''), coalesce(type, ''),
                      coalesce(logical_type, converted_type, ''), coalesce(repetition_type, ''),
                      num_children
               from parquet_schema(?) limit ?""",
            file,
            STATISTICS,
        )

    def groups(self, file: str) -> list[Any]:
        """Each column of each row group: sizes and statistics."""
        return self._all(
            f"""select row_group_id, path_in_schema, num_values, stats_null_count,
                       left(coalesce(stats_min_value, stats_min), {CELL}),
                       left(coalesce(stats_max_value, stats_max), {CELL}),
                       total_compressed_size, total_uncompressed_size, compression, encodings
                from parquet_metadata(?) order by row_group_id, column_id limit ?""",
            file,
            STATISTICS,
        )


def _tops(children: Sequence[tuple[int | None]]) -> list[int]:
    """For each leaf of a schema written depth first, without its root, the topmost column."""
    tops: list[int] = []
    left: list[int] = []  # children still to come, of each level
    top = -1
    for (count,) in children:
        if left:
            left[-1] -= 1
        else:
            top += 1
        if count:
            left.append(count)
        else:
            tops.append(top)
        while left and not left[-1]:
            left.pop()
    return tops


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def main() -> None:
    """Answer until there are no more questions."""
    asked = Asked()
    known: dict[str, Callable[..., Any]] = {
        "layout": asked.layout,
        "rows": asked.rows,
        "schema": asked.schema,
        "groups": asked.groups,
    }
    for line in sys.stdin:
        what, *values = json.loads(line)
        try:
            answer = {"answer": known[what](*values)}
        except Exception as e:  # whatever a file does to the library is the answer
            answer = {"error": str(e) or type(e).__name__}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
