"""Secrets from the file to user code, and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pachybox.errors import NotFound, Refused
from tests.boxes import RealBox, eventually
from tests.flow.shell import Run, refused, runner, succeeded

VALUES = {"password": "hunter2-correct-horse", "token": "tok-0451-battery-staple"}


def secret(name: str = "db", values: dict[str, str] = VALUES) -> dict[str, Any]:
    return {"kind": "Secret", "metadata": {"name": name}, "stringData": values}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def spec(name: str, *script: str, secrets: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "pipeline": {"name": name},
        "transform": {"cmd": ["sh"], "stdin": list(script), "secrets": secrets},
        "input": {"pfs": {"repo": "in", "glob": "/*"}},
    }


PASSWORD = {"name": "db", "key": "password", "env_var": "DB_PASSWORD"}
HASH_IT = 'printf %s "$DB_PASSWORD" | sha256sum | cut -c1-64 > /pfs/out/digest'


@pytest.fixture
def run(
    box: RealBox,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    return runner(box, tmp_path / "config", capsysbinary, monkeypatch)


def output(box: RealBox, pipeline: str) -> str:
    return box.client.get_file(f"{pipeline}@master:/digest").decode().strip()


def forms(value: str) -> list[bytes]:
    """A value as it might lie about."""
    raw = value.encode()
    return [raw, base64.b64encode(raw)[:-4], raw.hex().encode()]


def traces(where: Path) -> list[str]:
    """Files below ``where`` that hold a value in some form."""
    found = []
    for file in where.rglob("*"):
        if file.is_file() and not file.is_symlink():
            data = file.read_bytes()
            found += [f"{file} {k}" for k, v in VALUES.items() if any(f in data for f in forms(v))]
    return found


def command_lines() -> bytes:
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes())
            except OSError:
                pass  # it ended meanwhile
    return b"\n".join(lines)


def test_the_commands_make_show_and_forget_secrets(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "db.json"
    file.write_text(json.dumps(secret()))
    assert succeeded(run("create", "secret", "-f", str(file))) == ""
    assert "secret db already exists" in refused(run("create", "secret", "-f", str(file)))
    text = b"kind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: cert}\nstringData: {a: b}\n"
    succeeded(run("create", "secret", "-f", "-", stdin=text))
    table = succeeded(run("list secret")).splitlines()
    assert table[0].split() == ["NAME", "TYPE", "CREATED"]
    assert [line.split()[:2] for line in table[1:]] == [
        ["cert", "kubernetes.io/tls"],
        ["db", "Opaque"],
    ]
    raw = json.loads(succeeded(run("inspect secret db --raw")))
    assert raw["secret"] == {"name": "db"}
    assert raw["type"] == "Opaque"
    assert set(raw) == {"secret", "type", "creationTimestamp"}
    assert "Name: cert" in succeeded(run("inspect secret cert"))
    assert succeeded(run("__complete inspect secret -- c")).split() == ["cert"]
    succeeded(run("delete secret cert"))
    assert "secret cert not found" in refused(run("inspect secret cert"))
    succeeded(run("delete all -y"))
    assert succeeded(run("list secret --raw")) == ""


def test_a_value_reaches_user_code_and_nothing_else(box: RealBox, tmp_path: Path) -> None:
    c = box.client
    c.create_secret(secret())
    c.create_repo("in")
    began, go = tmp_path / "began", tmp_path / "go"
    wait = f"touch {began}; until [ -e {go} ]; do sleep 0.02; done"
    c.create_pipelines(json.dumps(spec("p", wait, HASH_IT, secrets=[PASSWORD])))
    c.put_file("in@master:/a", b"1")
    eventually(began.exists, "user code runs")
    seen = command_lines()
    assert b"pachybox" in seen
    go.touch()
    job = c.wait_job(f"p@{c.inspect_commit('in@master').id}")
    assert job.state == "JOB_SUCCESS", job.reason
    assert output(box, "p") == digest(VALUES["password"])

    said = json.dumps(
        [
            [e.data for e in c.events()],
            c.inspect_pipeline("p").raw,
            job.raw,
            [s.raw for s in c.list_secret()],
            [m.raw for m in c.logs("p")],
        ]
    )
    for value in VALUES.values():
        for form in forms(value):
            assert form not in seen
            assert form.decode() not in said
    assert traces(box.home) == []
    box.stop()  # all is on the disk now
    assert traces(box.home) == []
    assert (box.home / "secret.key").stat().st_mode & 0o777 == 0o600
    box.start()


def test_secrets_survive_kill_9_and_a_new_value_reaches_kept_workers(box: RealBox) -> None:
    c = box.client
    c.create_secret(secret())
    c.create_repo("in")
    c.create_pipelines(json.dumps(spec("p", HASH_IT, secrets=[PASSWORD])))
    c.put_file("in@master:/a", b"1")
    c.wait_job(f"p@{c.inspect_commit('in@master').id}")
    box.kill()
    box.start()
    c = box.client
    c.put_file("in@master:/a", b"2")
    c.wait_job(f"p@{c.inspect_commit('in@master').id}")
    assert output(box, "p") == digest(VALUES["password"])
    c.delete_secret("db", force=True)
    c.create_secret(secret(values={"password": "changed"}))
    c.put_file("in@master:/a", b"3")
    c.wait_job(f"p@{c.inspect_commit('in@master').id}")
    assert output(box, "p") == digest("changed")


def test_a_secret_in_use_is_deleted_by_force_only_and_its_job_then_says_so(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    uses = json.dumps(spec("p", HASH_IT, secrets=[PASSWORD]))
    with pytest.raises(NotFound, match="secret db not found"):
        c.create_pipelines(uses)
    c.create_secret(secret())
    with pytest.raises(NotFound, match="secret db has no key nope"):
        c.create_pipelines(uses.replace('"key": "password"', '"key": "nope"'))
    c.create_pipelines(uses)
    with pytest.raises(Refused, match="secret db is used by pipeline p"):
        c.delete_secret("db")
    c.delete_secret("db", force=True)
    c.put_file("in@master:/a", b"1")
    job = c.wait_job(f"p@{c.inspect_commit('in@master').id}")
    assert job.state == "JOB_FAILURE"
    assert "secret db not found" in job.reason
    c.create_secret(secret())
    c.rerun_pipeline("p")
    c.wait_commit("p@master")
    assert output(box, "p") == digest(VALUES["password"])


def test_files_of_a_secret_are_shown_and_on_no_disk(box: RealBox) -> None:
    c = box.client
    c.create_secret(secret())
    c.create_repo("in")
    hash_it = "cut -c1-64 > /pfs/out/digest"
    script = [f"sha256sum < /secrets/db/token | {hash_it}", "ls -l /secrets/db > /pfs/out/listing"]
    c.create_pipelines(
        json.dumps(spec("p", *script, secrets=[{"name": "db", "mount_path": "/secrets/db"}]))
    )
    c.put_file("in@master:/a", b"1")
    job = c.wait_job(f"p@{c.inspect_commit('in@master').id}")
    assert job.state == "JOB_SUCCESS", job.reason
    assert output(box, "p") == digest(VALUES["token"])
    assert c.get_file("p@master:/listing").decode().count("password") == 1
    assert not Path("/secrets/db").exists()
    assert traces(box.home) == []
    box.stop()
    assert traces(box.home) == []
    box.start()
