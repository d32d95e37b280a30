"""Secrets: what is taken for one, how they lie on the disk, what pipelines get."""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import (
    AlreadyExists,
    Corrupt,
    Exhausted,
    InvalidArgument,
    NotFound,
    PachyboxError,
    Refused,
)
from pachybox.meta.tables import SECRETS
from pachybox.meta.writer import Meta
from pachybox.pps import secrets as module
from pachybox.pps.secret_file import MAX_BYTES, parse
from pachybox.pps.secrets import Secrets, check, named

VALUE = "correct-horse-battery-staple"


def k8s(name: str = "db", **more: Any) -> bytes:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, **more}
    return json.dumps(body).encode()


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Meta]:
    meta = Meta(tmp_path / "meta.duckdb")
    yield meta
    meta.close()


@pytest.fixture
def secrets(meta: Meta, tmp_path: Path) -> Secrets:
    return Secrets(meta, tmp_path / "secret.key")


# ---- what is a secret


def test_data_is_base64_and_string_data_is_as_it_is() -> None:
    data = {"cert": base64.b64encode(b"\x00\xff").decode(), "both": "b2xk"}
    made = parse(k8s(data=data, stringData={"password": "ü", "both": "new"}, type="x/y"))
    assert (made.name, made.type) == ("db", "x/y")
    assert made.values == {"cert": b"\x00\xff", "password": "ü".encode(), "both": b"new"}


def test_yaml_is_taken_and_the_type_is_opaque_unless_given() -> None:
    made = parse(b"kind: Secret\nmetadata:\n  name: db.eu-1\nstringData:\n  password: 's3: #'\n")
    assert (made.name, made.type, made.values) == ("db.eu-1", "Opaque", {"password": b"s3: #"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "no Kubernetes Secret"),
        (b"[1]", "no Kubernetes Secret"),
        (b'{"kind": "ConfigMap"}', "no Kubernetes Secret"),
        (b'{"kind": "Secret"}', "has no name"),
        (k8s("Db"), "no name of a secret"),
        (k8s("-db"), "no name of a secret"),
        (k8s("a..b"), "no name of a secret"),
        (k8s("a" * 254), "no name of a secret"),
        (k8s(type=VALUE.split("-")), "type of secret db is no string"),
        (k8s(data=VALUE), "data of secret db is no object"),
        (k8s(data={"password": VALUE + "!"}), "data.password of secret db is no base64"),
        (k8s(stringData={"password": [VALUE]}), "stringData.password of secret db is no string"),
        (k8s(stringData={"a/b": VALUE}), "has the key 'a/b'"),
        (k8s(stringData={"..": VALUE}), "has the key '..'"),
        (k8s(stringData={"a": "\ud800" + VALUE}), "stringData.a of secret db is no Unicode text"),
        (b'{"kind": "Secret",\n"a": ' + VALUE.encode(), "line 2"),
        (b"kind: Secret\na: *" + VALUE.encode(), "line 2"),
        (b"a: !!binary " + VALUE.encode(), "neither JSON nor YAML"),
        (b"\xff" + VALUE.encode(), "no UTF-8"),
    ],
)
def test_what_is_no_secret_is_refused_by_name_and_never_quoted(text: bytes, says: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse(text)
    assert says in str(refused.value)
    assert refused.value.hint
    assert VALUE not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_values_may_add_up_to_a_mebibyte() -> None:
    half = "x" * (MAX_BYTES // 2)
    assert sum(map(len, parse(k8s(stringData={"a": half, "b": half})).values.values())) == 1 << 20
    with pytest.raises(InvalidArgument, match="1 MiB"):
        parse(k8s(stringData={"a": half, "b": half + "y"}))


@given(st.dictionaries(st.from_regex(r"[-._a-zA-Z0-9]{1,20}", fullmatch=True), st.binary()))
def test_any_bytes_come_out_as_they_went_in(values: dict[str, bytes]) -> None:
    values = {k: v for k, v in values.items() if k not in (".", "..")}
    data = {k: base64.b64encode(v).decode() for k, v in values.items()}
    assert parse(k8s(data=data)).values == values


# ---- at rest


def test_only_ciphertext_is_stored_and_the_key_is_for_the_owner_alone(
    secrets: Secrets, meta: Meta, tmp_path: Path
) -> None:
    assert secrets.list() == []
    assert not (tmp_path / "secret.key").exists()
    secrets.create(k8s(stringData={"password": VALUE}))
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    [record] = meta.select(SECRETS, "")
    assert record.keys == ("password",)
    assert VALUE.encode() not in record.sealed
    assert base64.b64encode(VALUE.encode()) not in record.sealed
    assert VALUE not in repr(record)
    assert "sealed" not in repr(record)
    assert [e.data for e in meta.events(0)] == [{"name": "db", "type": "Opaque"}]


def test_equal_secrets_have_different_ciphertext(secrets: Secrets) -> None:
    secrets.create(k8s("a", stringData={"password": VALUE}))
    secrets.create(k8s("b", stringData={"password": VALUE}))
    a, b = secrets.list()
    assert a.sealed != b.sealed
    assert len(a.sealed) == len(b.sealed)


def test_secrets_outlive_the_process_and_one_cannot_stand_for_another(
    secrets: Secrets, meta: Meta, tmp_path: Path
) -> None:
    secrets.create(k8s("a", stringData={"password": VALUE}))
    secrets.create(k8s("b", stringData={"password": "other"}))
    again = Secrets(meta, tmp_path / "secret.key")
    assert again.values("a") == {"password": VALUE.encode()}
    from dataclasses import replace

    stolen = replace(again.inspect("a"), name="b")
    meta.write(lambda tx: tx.put(SECRETS, stolen))
    with pytest.raises(Corrupt, match="secret b cannot be opened"):
        again.values("b")


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda p: p.unlink(), Refused, "is missing"),
        (lambda p: p.write_text("00" * 32), Corrupt, "cannot be opened with the key"),
        (lambda p: p.write_text("00" * 31), Refused, "does not hold a key"),
        (lambda p: p.write_text("key"), Refused, "does not hold a key"),
    ],
)
def test_without_its_key_a_secret_is_an_error_with_a_remedy(
    secrets: Secrets, meta: Meta, tmp_path: Path, spoil: Any, error: type, says: str
) -> None:
    secrets.create(k8s(stringData={"password": VALUE}))
    right = (tmp_path / "secret.key").read_text()
    spoil(tmp_path / "secret.key")
    again = Secrets(meta, tmp_path / "secret.key")
    with pytest.raises(error) as failed:
        again.values("db")
    assert says in str(failed.value)
    assert failed.value.hint  # type: ignore[attr-defined]
    if error is Refused:  # no key is made beside secrets that another key sealed
        with pytest.raises(Refused):
            again.create(k8s("more"))
        assert again.exists("db")
    (tmp_path / "secret.key").write_text(right)
    assert again.values("db") == {"password": VALUE.encode()}


# ---- use


def test_there_is_no_update_and_deleting_is_refused_by_name_when_unknown(secrets: Secrets) -> None:
    secrets.create(k8s())
    with pytest.raises(AlreadyExists, match="secret db already exists"):
        secrets.create(k8s(stringData={"password": "new"}))
    secrets.delete("db")
    assert not secrets.exists("db")
    with pytest.raises(NotFound, match="secret db not found"):
        secrets.delete("db")


def test_variables_and_files_are_what_the_spec_asks_for(secrets: Secrets) -> None:
    secrets.create(k8s(stringData={"user": "me", "password": VALUE}))
    got = secrets.resolve(
        {
            "secrets": [
                {"name": "db", "mount_path": "/etc/db/"},
                {"name": "db", "key": "password", "env_var": "DB_PASSWORD"},
                {"name": "db", "key": "user", "env_var": "DB_USER", "mount_path": "/both"},
            ]
        }
    )
    assert got.env == {"DB_PASSWORD": VALUE, "DB_USER": "me"}
    assert got.files == {
        "/etc/db/user": b"me",
        "/etc/db/password": VALUE.encode(),
        "/both/user": b"me",
        "/both/password": VALUE.encode(),
    }
    assert VALUE not in repr(got)
    assert secrets.resolve({}).env == {}


def test_a_missing_secret_or_key_is_named(secrets: Secrets) -> None:
    use = {"secrets": [{"name": "db", "key": "password", "env_var": "P"}]}
    with pytest.raises(NotFound, match="secret db not found"):
        secrets.resolve(use)
    secrets.create(k8s(stringData={"user": VALUE}))
    with pytest.raises(NotFound, match="secret db has no key password"):
        secrets.resolve(use)
    assert secrets.exists("db", "user")
    assert not secrets.exists("db", "password")


def test_bytes_cannot_be_a_variable(secrets: Secrets) -> None:
    secrets.create(k8s(data={"key": base64.b64encode(b"a\0b").decode()}))
    with pytest.raises(InvalidArgument, match="cannot be a variable"):
        secrets.resolve({"secrets": [{"name": "db", "key": "key", "env_var": "P"}]})


@pytest.mark.parametrize(
    ("use", "says"),
    [
        ({"name": "no"}, "secret no not found"),
        ({"name": "db", "key": "no", "env_var": "A"}, "has no key no"),
    ],
)
def test_a_spec_that_names_a_secret_wrongly_is_refused(
    secrets: Secrets, meta: Meta, use: dict[str, str], says: str
) -> None:
    secrets.create(k8s(stringData={"user": "me"}))
    good = {"name": "db", "key": "user", "env_var": "A"}
    meta.write(lambda tx: check(tx, {"transform": {"secrets": [good]}}))
    with pytest.raises(PachyboxError) as refused:
        meta.write(lambda tx: check(tx, {"transform": {"secrets": [good, use]}}))
    assert says in str(refused.value)


def test_the_secret_of_an_egress_is_named_too() -> None:
    spec = {"transform": {}, "egress": {"sql_database": {"secret": {"name": "db", "key": "k"}}}}
    assert named(spec) == {"db"}


def test_the_version_of_a_spec_changes_with_its_secrets(secrets: Secrets) -> None:
    spec = {"transform": {"secrets": [{"name": "db", "mount_path": "/a"}]}}
    seen = [secrets.version(spec)]
    for _ in range(2):
        secrets.create(k8s())
        seen.append(secrets.version(spec))
        secrets.delete("db")
    assert len(set(seen)) == 3
    assert secrets.version({"transform": {}}) == ""


def test_all_secrets_have_a_bound(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_ALL", 200)
    caplog.set_level(logging.DEBUG)
    secrets.create(k8s("a", stringData={"a": VALUE}))
    with pytest.raises(Exhausted, match="secrets at most"):
        secrets.create(k8s("b", stringData={"b": VALUE * 10}))
    assert VALUE not in caplog.text


def test_a_box_without_secrets_does_not_load_the_cipher(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from pachybox.meta.writer import Meta\n"
        "from pachybox.pps.secrets import Secrets; import pachybox.daemon\n"
        "meta = Meta(Path(sys.argv[1])); Secrets(meta, Path('k')).list(); meta.close()\n"
        "sys.exit(any(m.partition('.')[0] in ('cryptography', 'pg8000', 'obstore')"
        " for m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m.duckdb")], env=dict(os.environ), check=False
    )
    assert done.returncode == 0
