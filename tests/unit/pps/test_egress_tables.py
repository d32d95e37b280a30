"""Egress of rows: into real SQLite, DuckDB and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pachybox.errors import InvalidArgument, NotFound, NotReady, PachyboxError, Refused
from pachybox.pps.egress import sql as egress_sql
from pachybox.pps.egress.output import Stopped
from pachybox.pps.egress.service import Pushed
from pachybox.pps.egress.target import database
from tests.unit.pps.outputs import House, house
from tests.unit.pps.postgres_server import PASSWORD, Postgres, postgres, programs


@dataclass
class Db:
    """One database with what a test needs of it."""

    made: House
    url: str
    run: Callable[[str], Sequence[Sequence[Any]]]
    secret: dict[str, str] = field(default_factory=dict)

    def rows(self, what: str) -> list[list[Any]]:
        return [list(row) for row in self.run(f"SELECT {what}")]

    def push(
        self,
        files: dict[str, bytes | str],
        form: str = "CSV",
        columns: Sequence[str] = (),
        wanted: Callable[[], bool] = lambda: True,
        **more: Any,
    ) -> Pushed:
        target = database(
            {
                "url": self.url,
                "file_format": {"type": form, "columns": list(columns)},
                "secret": self.secret,
                **more,
            }
        )
        return self.made.pusher.push(self.made.tree(files), target, wanted)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    at = programs()
    if at is None:
        pytest.skip("PostgreSQL's initdb is not on this machine (Debian: postgresql)")
    with postgres(at) as running:
        yield running


@pytest.fixture
def made(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path / "home") as made:
        yield made


def sqlite_db(made: House, path: Path) -> Db:
    def run(text: str) -> list[Any]:
        con = sqlite3.connect(path)
        try:
            with con:
                return con.execute(text).fetchall()
        finally:
            con.close()

    return Db(made, f"sqlite://{path}", run)


def duckdb_db(made: House, path: Path) -> Db:
    def run(text: str) -> list[Any]:
        with duckdb.connect(str(path)) as con:
            return con.execute(text).fetchall()

    return Db(made, f"duckdb://{path}", run)


def postgres_db(made: House, server: Postgres) -> Db:
    made.secrets.create(
        b'{"kind": "Secret", "metadata": {"name": "pg"}, "stringData": {"pw": "%s"}}'
        % PASSWORD.encode()
    )
    return Db(made, server.url, server.run, {"name": "pg", "key": "pw"})


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def db(made: House, tmp_path: Path, request: pytest.FixtureRequest) -> Db:
    match request.param:
        case "sqlite":
            found = sqlite_db(made, tmp_path / "out.db")
        case "duckdb":
            found = duckdb_db(made, tmp_path / "out.duckdb")
        case _:
            found = postgres_db(made, request.getfixturevalue("server"))
    for text in (
        "DROP TABLE IF EXISTS people",
        'DROP TABLE IF EXISTS "odd ""name"',
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, height DOUBLE PRECISION, "
        "member BOOLEAN)",
        "INSERT INTO people VALUES (1, 'old', 1.0, TRUE), (99, 'older', 2.0, FALSE)",
        'CREATE TABLE "odd ""name" ("a b" INTEGER)',
        'INSERT INTO "odd ""name" VALUES (7)',
    ):
        found.run(text)
    return found


PEOPLE = "id, name, height, member FROM people ORDER BY id"


def test_a_commit_replaces_the_rows_of_the_tables_it_names(db: Db) -> None:
    done = db.push(
        {
            "/people/1.csv": '1,"Ann, ""B""\nC",1.5,true\n2,,,\n',
            "/people/sub/2.csv": "3,ü,2.25,false\n\n",
        }
    )
    assert db.rows(PEOPLE) == [
        [1, 'Ann, "B"\nC', 1.5, True if "sqlite" not in db.url else "true"],
        [2, "", None, None],
        [3, "ü", 2.25, False if "sqlite" not in db.url else "false"],
    ]
    assert done.rows == {"people": 3}
    assert done.files == 2
    assert db.rows('"a b" FROM "odd ""name"') == [[7]]  # not named: left alone


def test_names_of_tables_and_columns_may_be_odd(db: Db) -> None:
    assert db.push({'/odd "name/x': "1\n2\n"}).rows == {'odd "name': 2}
    assert db.rows('"a b" FROM "odd ""name" ORDER BY 1') == [[1], [2]]


def test_columns_pick_from_a_header_in_any_order(db: Db) -> None:
    text = "height,extra,name,id\n1.5,x,Ann,1\n"
    db.push({"/people/a": text, "/people/empty": ""}, columns=["id", "name", "height"])
    assert db.rows(PEOPLE) == [[1, "Ann", 1.5, None]]


def test_json_objects_are_rows(db: Db) -> None:
    text = (
        '{"id": 1, "name": "Ann", "height": 1.25, "member": true}\n\n{\n"id": 2}'
        '{"name": {"a": [1.5]}, "id": 3}'
    )
    db.push({"/people/a.json": text}, "JSON")
    assert db.rows(PEOPLE) == [
        [1, "Ann", 1.25, True],
        [2, None, None, None],
        [3, '{"a": [1.5]}', None, None],
    ]
    db.push({"/people/a.json": '{"id": 5, "more": 1, "name": "x"}'}, "JSON", ["name", "id"])
    assert db.rows(PEOPLE) == [[5, "x", None, None]]


def test_parquet_is_read_by_the_names_of_columns(db: Db, tmp_path: Path) -> None:
    file = tmp_path / "people.parquet"
    with duckdb.connect() as con:
        con.execute(
            "COPY (SELECT n::INTEGER AS id, 'n' || n AS name, n / 4 AS height, n = 1 AS member, "
            f"DATE '2026-01-02' AS more FROM range(5000) t(n)) TO '{file}'"
        )
    assert db.push({"/people/a": file.read_bytes()}, "PARQUET").rows == {"people": 5000}
    assert db.rows("count(*), sum(id), max(height) FROM people") == [
        [5000, sum(range(5000)), 4999 / 4]
    ]
    with pytest.raises(InvalidArgument, match="/people/a cannot be read"):
        db.push({"/people/a": b"no parquet"}, "PARQUET")


def test_many_rows_go_in(db: Db) -> None:
    lines = "".join(f"{n},name {n},{n}.5,\n" for n in range(20_000))
    assert db.push({"/people/a": lines}).rows == {"people": 20_000}
    assert db.rows("count(*), sum(id) FROM people") == [[20_000, sum(range(20_000))]]


def test_an_empty_commit_changes_nothing(db: Db) -> None:
    assert db.push({}).rows == {}
    assert db.rows("count(*) FROM people") == [[2]]


@pytest.mark.parametrize(
    ("files", "form", "columns", "error", "says"),
    [
        ({"/people/a": "5,x,1,\n", "/top": "x"}, "CSV", [], InvalidArgument, "/top is a file"),
        ({"/people/a": "5,x,1,\n", "/zz/a": "1"}, "CSV", [], NotFound, "has no table zz"),
        ({"/people/a": "5,x\n"}, "CSV", [], InvalidArgument, "line 1: 2 values for 4 columns"),
        ({"/people/a": '5,"x'}, "CSV", [], InvalidArgument, "no valid CSV"),
        ({"/people/a": b"5,\xff,1,\n"}, "CSV", [], InvalidArgument, "no UTF-8"),
        ({"/people/a": "id\n5\n"}, "CSV", ["id", "name"], InvalidArgument, "no column name in its"),
        ({"/people/a": "id\n5\n"}, "CSV", ["nope"], InvalidArgument, "has no column nope"),
        ({"/people/a": '{"id": 5, "no": 1}'}, "JSON", [], InvalidArgument, "has no column no"),
        ({"/people/a": "[5]"}, "JSON", [], InvalidArgument, "row 1: no JSON object"),
        ({"/people/a": '{"id": 5} {"id"'}, "JSON", [], InvalidArgument, "no valid JSON"),
        ({"/people/a": '{"id": 5, "name": "\\ud800"}'}, "JSON", [], InvalidArgument, "surrogate"),
        ({"/people/a": "5,x,1,\n5,y,1,\n"}, "CSV", [], InvalidArgument, "a row does not fit"),
    ],
)
def test_what_cannot_be_rows_is_refused_and_nothing_is_changed(
    db: Db, files: Any, form: str, columns: list[str], error: type[PachyboxError], says: str
) -> None:
    with pytest.raises(error) as refused:
        db.push(files, form, columns)
    assert says in str(refused.value)
    assert refused.value.hint
    assert db.rows("id FROM people ORDER BY id") == [[1], [99]]


def test_a_number_that_is_none_is_refused(db: Db) -> None:
    if "sqlite" in db.url:
        db.push({"/people/a": "5,x,tall,\n"})  # SQLite keeps what does not convert
        assert db.rows("height FROM people") == [["tall"]]
        return
    with pytest.raises(InvalidArgument, match="a row does not fit"):
        db.push({"/people/a": "5,x,tall,\n"})
    assert db.rows("id FROM people ORDER BY id") == [[1], [99]]


def test_a_stop_in_the_middle_changes_nothing(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_sql, "BATCH", 10)
    asked = 0

    def wanted() -> bool:
        nonlocal asked
        asked += 1
        return asked < 3

    files: dict[str, bytes | str] = {f"/people/{n}": f"{n},x,1,\n" for n in range(50)}
    with pytest.raises(Stopped):
        db.push(files, wanted=wanted)
    assert db.rows("id FROM people ORDER BY id") == [[1], [99]]


# ---- each its own


def test_a_missing_file_is_not_made(made: House, tmp_path: Path) -> None:
    for db in (sqlite_db(made, tmp_path / "a"), duckdb_db(made, tmp_path / "b")):
        with pytest.raises(NotFound, match="is no file"):
            db.push({"/people/a": "1\n"})
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_a_file_that_is_no_database_is_told(made: House, tmp_path: Path) -> None:
    broken = tmp_path / "c"
    broken.write_text("no database at all, but a text of some length")
    for wrong in (sqlite_db(made, broken), duckdb_db(made, broken)):
        with pytest.raises(NotReady, match=str(broken)):
            wrong.push({"/people/a": "1\n"})


@pytest.mark.parametrize("name", ["meta.duckdb", "store/x"])
def test_the_box_s_own_database_is_no_target(made: House, name: str) -> None:
    db = Db(made, f"duckdb://{made.home}/{name}", lambda text: [])
    with pytest.raises(Refused, match="the box's own directory"):
        db.push({"/secrets/a": "1\n"})


def test_a_wrong_password_is_refused_and_not_told(
    made: House, server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    db = postgres_db(made, server)
    made.secrets.delete("pg")
    made.secrets.create(
        b'{"kind": "Secret", "metadata": {"name": "pg"}, "stringData": {"pw": "hush-hush"}}'
    )
    with pytest.raises(Refused, match="password authentication failed") as refused:
        db.push({"/people/a": "1,a,1,\n"})
    assert "hush-hush" not in str(refused.value) + caplog.text
    made.secrets.delete("pg")
    with pytest.raises(NotFound, match="secret pg not found"):
        db.push({"/people/a": "1,a,1,\n"})


def test_postgresql_is_reached_by_socket_too_and_may_be_down(made: House, server: Postgres) -> None:
    db = postgres_db(made, server)
    db.run("CREATE SCHEMA IF NOT EXISTS other")
    db.run("CREATE TABLE IF NOT EXISTS other.points (x NUMERIC, at TIMESTAMP, raw BYTEA)")
    db.url = f"postgresql://owner@/postgres?host={server.folder}"
    with pytest.raises(NotReady):
        db.push({"/other.points/a": "1,,\n"})  # the socket has the port in its name
    db.url = f"postgresql://owner@:{server.port}/postgres?host={server.folder}&sslmode=disable"
    text = "123456789012345678.000000001,2026-01-02 03:04:05,\\x00ff\n"
    db.push({"/other.points/a": text})
    assert db.rows("x::text, at::text, encode(raw, 'hex') FROM other.points") == [
        ["123456789012345678.000000001", "2026-01-02 03:04:05", "00ff"]
    ]
    for query, says in (("sslmode=x", "sslmode=x"), ("a=b", "parameter a")):
        db.url = f"postgresql://owner@127.0.0.1:{server.port}/postgres?{query}"
        with pytest.raises(InvalidArgument, match=says):
            db.push({"/other.points/a": text})
    db.url = f"postgresql://owner@127.0.0.1:{server.port}/postgres?sslmode=require"
    with pytest.raises(NotReady, match="SSL"):
        db.push({"/other.points/a": text})
    db.url = "postgresql://owner@127.0.0.1:1/postgres"
    with pytest.raises(NotReady, match=r"postgresql://127\.0\.0\.1:1/postgres"):
        db.push({"/other.points/a": text})


def test_readers_see_all_rows_of_one_commit_or_all_of_another(
    made: House, server: Postgres
) -> None:
    db = postgres_db(made, server)
    db.run("DROP TABLE IF EXISTS people")
    db.run("CREATE TABLE people (id INTEGER PRIMARY KEY)")
    seen: list[list[list[Any]]] = []

    def wanted() -> bool:
        seen.append(db.rows("count(*) FROM people"))
        return True

    for size in (3, 5):
        db.push({f"/people/{n}": f"{n}\n" for n in range(size)}, wanted=wanted)
    assert [row for row in seen if row not in ([[0]], [[3]])] == []
    assert [[3]] in seen
    assert db.rows("count(*) FROM people") == [[5]]
