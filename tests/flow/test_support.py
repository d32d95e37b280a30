"""A support bundle holds what is needed to look for a fault, and no secret, wherever one lies."""

from __future__ import annotations

import base64
import io
import json
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.redact import LEFT_OUT, Redactor
from tests.boxes import RealBox, eventually

PARTS = {
    "about.txt", "versions.json", "doctor.jsonl", "status.json", "settings.json", "metrics.txt",
    "events.jsonl", "tables.json", "specs/pipelines.jsonl", "specs/ingests.jsonl", "files.txt",
    "environment.txt", "logs/box.log", "proc/limits", "machine/meminfo",
}  # fmt: skip


TOKENS: list[str] = []
"""Those the box made."""


def planted(where: str) -> str:
    """A secret that lies somewhere; all have the word in them that is looked for."""
    return f"plantedZ{where}Z0451"


SPEC = f"""
pipeline: {{name: uses}}
description: uses secrets
input: {{pfs: {{repo: in, glob: /}}}}
datum_tries: 1
metadata: {{annotations: {{owner: {planted("annotation")}}}}}
transform:
  cmd: [sh, -c, 'echo {planted("cmd")}; echo {planted("stderr")} >&2; exit 3']
  env: {{PASSWORD: {planted("env")}}}
  secrets: [{{name: s, key: k, env_var: K}}]
"""
SOURCE = f"""
ingest: {{name: talks}}
to: in@talk
command:
  cmd: [sh, -c, 'echo {planted("words")} >&2; exit 1']
  env: {{KEY: {planted("ingest-env")}}}
"""


def members(content: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        found = {}
        for info in tar.getmembers():
            file = tar.extractfile(info)
            assert file is not None
            assert info.name.startswith("pachybox-support/")
            found[info.name.removeprefix("pachybox-support/")] = file.read().decode()
        return found


def traces(found: dict[str, str]) -> list[str]:
    """Where something planted is to be found, plain or in base64 at any offset."""
    shifted = (base64.b64encode(b" " * skip + b"plantedZ").decode() for skip in range(3))
    forms = ["plantedZ", *(text[4:-4] for text in shifted)]
    return [f"{name}: {form}" for name, text in found.items() for form in forms if form in text]


@pytest.fixture(scope="module")
def laden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box with a secret wherever one can be, which has worked with them."""
    folder = tmp_path_factory.mktemp("laden")
    config = folder / "config" / "pachybox" / "config.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"contexts": {"local": {"token": planted("context")}}}))
    box = RealBox(
        folder / "home",
        env={
            "PACHYBOX_TOKEN": planted("variable"),
            "AWS_SECRET_ACCESS_KEY": planted("aws"),
            "PACHYBOX_BACKUP_TO": f"s3://key:{planted('backup')}@bucket/prefix",
            "XDG_CONFIG_HOME": str(folder / "config"),
        },
        settings=(
            f'token = "{planted("token")}"\n[[webhook]]\nsecret = "{planted("hook")}"\n'
            f'url = "http://user:{planted("user")}@127.0.0.1:1/{planted("path")}?k={planted("q")}"\n'
        ),
    ).start()
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": planted("secret")}}
    box.cli("create", "secret", "-f", "-", stdin=json.dumps(secret).encode())
    made = box.cli("create", "token", "robot", "--role", "reader").strip()
    assert made.startswith("pb_")
    TOKENS.append(made)
    c = box.client
    c.create_repo("in")
    c.put_file("in@master:/file", planted("content").encode())
    c.create_pipelines(SPEC)
    c.create_ingest(SOURCE)
    eventually(lambda: c.list_job("uses").all()[0].state == "JOB_FAILURE", "the job has failed")
    eventually(lambda: c.inspect_ingest("talks").raw.get("error"), "its command has ended")
    box.run("put", "file", "in@master:/x", "-f", f"http://u:{planted('url')}@127.0.0.1:1/x")
    yield box
    box.stop()


@pytest.fixture(scope="module")
def bundled(laden: RealBox) -> dict[str, str]:
    """What is in its bundle."""
    path = laden.home / "fault.tar.gz"
    done = laden.run("support", "bundle", str(path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path}\n"
    assert "look through it before you send it" in done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return members(path.read_bytes())


def test_a_bundle_holds_what_is_needed(laden: RealBox, bundled: dict[str, str]) -> None:
    assert set(bundled) >= PARTS
    assert "missing.txt" not in bundled
    assert json.loads(bundled["status.json"])["home"] == str(laden.home)
    assert json.loads(bundled["tables.json"])["pipelines"] == 1
    assert "pachybox_start_time_seconds " in bundled["metrics.txt"]
    assert "Max open files" in bundled["proc/limits"]
    findings = {r["code"]: r for r in map(json.loads, bundled["doctor.jsonl"].splitlines())}
    assert findings["PB701"]["check"] == "pipeline uses"
    kinds = {json.loads(line)["kind"] for line in bundled["events.jsonl"].splitlines()}
    assert {"repo.created", "pipeline.created", "secret.created"} <= kinds
    assert "part=" in bundled["logs/box.log"]
    assert "secret.key" in bundled["files.txt"]


def test_specs_are_there_without_what_is_nobodys_business(bundled: dict[str, str]) -> None:
    spec = json.loads(bundled["specs/pipelines.jsonl"])["spec"]
    assert spec["description"] == "uses secrets"
    assert spec["transform"]["cmd"] == ["sh", LEFT_OUT]
    assert spec["transform"]["env"] == {"PASSWORD": LEFT_OUT}
    assert spec["transform"]["secrets"][0]["name"] == "s"
    source = json.loads(bundled["specs/ingests.jsonl"])
    assert source["specJson"]["command"]["cmd"] == ["sh", LEFT_OUT]


def test_no_secret_is_in_a_bundle(laden: RealBox, bundled: dict[str, str]) -> None:
    assert traces(bundled) == []
    key = (laden.home / "secret.key").read_text().strip()
    for unseen in (key, *TOKENS):
        assert all(unseen not in text for text in bundled.values())
    assert "PACHYBOX_TOKEN\n" in bundled["environment.txt"]


def test_what_is_looked_for_would_be_found() -> None:
    for text in (planted("x"), base64.b64encode(f"ab{planted('x')}cd".encode()).decode()):
        assert traces({"f": text})


def test_a_box_that_does_not_run_is_bundled_too(laden: RealBox, tmp_path: Path) -> None:
    laden.stop()
    (tmp_path / "outside").write_text("of another user")
    (laden.home / "run/box.link").symlink_to(tmp_path / "outside")
    done = laden.run("support", "bundle", str(tmp_path / "cold.tar.gz"))
    assert done.returncode == 0, done.stderr
    found = members((tmp_path / "cold.tar.gz").read_bytes())
    assert "logs/box.link" not in found, "no link of the box's user is followed"
    assert {"doctor.jsonl", "settings.json", "logs/box.log", "files.txt"} <= set(found)
    assert traces(found) == []
    (laden.home / "box.toml").write_text(f'tken = "{planted("misspelt")}"\nworkers = "x"\n')
    done = laden.run("support", "bundle", str(tmp_path / "broken.tar.gz"))
    assert done.returncode == 0, done.stderr
    found = members((tmp_path / "broken.tar.gz").read_bytes())
    assert "unknown setting 'tken'" in found["doctor.jsonl"]
    assert traces(found) == []


def test_a_bundle_can_be_piped_and_says_what_it_cannot(laden: RealBox, tmp_path: Path) -> None:
    import subprocess
    import sys

    env = {**laden.env, "PACHYBOX_HOME": str(tmp_path / "none")}
    command = [sys.executable, "-m", "pachybox.cli", "support", "bundle"]
    done = subprocess.run([*command, "-"], env=env, capture_output=True, check=True)
    assert "versions.json" in members(done.stdout)
    env["PACHYBOX_ADDRESS"] = "http://127.0.0.1:1"
    done = subprocess.run(command, env=env, capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert b"run this on its machine" in done.stderr
    assert list(tmp_path.glob("*.tar.gz")) == []
    del env["PACHYBOX_ADDRESS"]
    for file, said in ((tmp_path / "no" / "x.gz", "cannot write"), (tmp_path, "is a directory")):
        bad = [*command, str(file)]
        done = subprocess.run(bad, env=env, capture_output=True, check=False, cwd=tmp_path)
        assert done.returncode == 1
        assert f"{file}" in done.stderr.decode().partition(";")[0]
        assert said in done.stderr.decode()


# ---- the redactor


@pytest.mark.parametrize(
    "text",
    [
        "https://user:{}@host/x",
        "postgres://{}@host",
        "Authorization: Bearer {}",
        "authn-token: {}",
        "PGPASSWORD={} psql",
        '"password": "{}"',
        "api_key='{}'",
        "x-amz-signature={}&x=1",
        "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----",
        "pb_{}",
        "token: 'two words {}'",
        '"client_secret": "with a \\" in it {}"',
        '{{"message": "{{\\"password\\": \\"two words {}\\"}}"}}',
        "SECRET_KEY={}",
        "https://user:p@{}@host/x",
        "GET https://host/x?key={}",
        "ghp_{}",
        "eyJhbGciOi9.{}",
        "ingest=x crashed: {}",
    ],
)
def test_what_looks_like_a_secret_is_left_out_of_texts(text: str) -> None:
    secret = "plantedZ0123456789abcdef"
    shown = Redactor().text(f"before {text.format(secret)}\nafter")
    assert secret not in shown
    assert LEFT_OUT in shown
    assert shown.startswith("before ")
    assert shown.endswith("\nafter")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=20,
)
HIDING = st.sampled_from(
    ["password", "dbPassword", "token", "secret_key", "stdin", "env", "authToken", "salt"]
)


def test_what_is_learned_is_left_out_however_it_is_written() -> None:
    redactor = Redactor()
    value = {"auth": {"user": "me", "pw": 'planted"Z\n1'}, "secret": {"name": "s", "key": "k"}}
    assert redactor.record(value) == {"auth": LEFT_OUT, "secret": {"name": "s", "key": "k"}}
    assert "planted" not in redactor.text(json.dumps({"said": value["auth"]["pw"]}))


@given(JSON, HIDING)
def test_a_hidden_field_is_hidden_at_any_depth_and_the_rest_is_valid(
    value: object, key: str
) -> None:
    inner: object = {"a": "plantedZ-value"} if key == "env" else "plantedZ-value"
    deep = {"list": [value, {"map": {key: inner, "kept": 5}}], "said": "x plantedZ-value y"}
    redactor = Redactor()
    shown = redactor.text(json.dumps(redactor.record(deep)))
    assert "plantedZ" not in shown
    assert json.loads(shown)["list"][1]["map"]["kept"] == 5
