"""Doctor finds each trouble it knows, by its code, with a remedy; made for real where one can."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
import xxhash

import pachybox
from pachybox.config import Config
from pachybox.doctor import live
from pachybox.doctor.codes import CODES, SUBJECTS
from pachybox.meta.tables import FACTS
from pachybox.meta.writer import Meta
from pachybox.pps.runners.base import Finding
from tests.boxes import RealBox, eventually, free_port
from tests.flow.shell import Run, refused, succeeded

NOBODY = """
import os, sys
from pachybox.cli import main
import pachybox.cli.doctor, pachybox.doctor, encodings.idna
os.setgid(65534), os.setuid(65534)
os.environ.update(PACHYBOX_HOME=sys.argv[1], PACHYBOX_RUNNER="process", XDG_CONFIG_HOME="/none")
sys.exit(main(["doctor", "--raw"]))
"""
"""Doctor as another user, who need not be able to read this installation."""


class Said(NamedTuple):
    """What doctor said by one code."""

    level: str
    text: str
    remedy: str
    check: str


Look = Callable[[str], list[Said]]


@pytest.fixture
def home(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of a box that does not run; what ``look`` looks at."""
    found = tmp_path / "cold"
    monkeypatch.setenv("PACHYBOX_HOME", str(found))
    monkeypatch.setenv("PACHYBOX_RUNNER", "process")  # podman is not tried each time
    monkeypatch.setenv("PACHYBOX_HTTP_PORT", "0")
    monkeypatch.setenv("PACHYBOX_GRPC_PORT", "0")
    return found


@pytest.fixture
def look(run: Run) -> Look:
    """``look("PB204")``: what doctor says by it now."""

    def ask(code: str) -> list[Said]:
        done = run("doctor", "--raw")
        records = [json.loads(line) for line in done.out.splitlines()]
        assert done.err == ""
        assert done.status == any(r["level"] == "fail" for r in records)
        assert [r["code"] for r in records] == sorted(r["code"] for r in records)
        for record in records:
            assert set(record) == {"code", "check", "level", "detail", "remedy"}
            assert record["code"] in CODES
            assert record["level"] == "ok" or record["remedy"] or record["code"] == "PB108"
        return [
            Said(r["level"], r["detail"], r["remedy"], r["check"])
            for r in records
            if r["code"] == code
        ]

    return ask


def only(said: list[Said]) -> Said:
    (one,) = said
    return one


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a box that had a secret, and was stopped."""
    box = RealBox(tmp_path_factory.mktemp("used") / "home").start()
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}
    box.cli("create", "secret", "-f", "-", stdin=json.dumps(secret).encode())
    box.stop()
    return box.home


@pytest.fixture
def made(home: Path, used: Path) -> Path:
    """``home`` with such a box in it."""
    shutil.copytree(used, home)
    home.chmod(0o700)
    return home


# ---- the table


def test_codes_are_told_apart_and_say_everything() -> None:
    assert list(CODES) == sorted(CODES)
    assert len({one.check for one in CODES.values()}) == len(CODES)
    for one in CODES.values():
        assert one.code[:3] in SUBJECTS
        assert all(text[-1] == "." for text in (one.means, one.remedy)), one.code


def test_whatever_a_runner_finds_has_a_code() -> None:
    root = Path(pachybox.__file__).parent
    names = {one.check for one in CODES.values()}
    named = 0
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "Finding":
                continue
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and len(node.args) > 2 and path.name != "care.py":
                assert first.value in names, f"{path}:{node.lineno}"
                named += 1
    assert named > 15


def test_every_code_is_explained(run: Run) -> None:
    for one in CODES.values():
        words = " ".join(succeeded(run("doctor", one.code.lower())).split())
        for text in (one.code, one.subject, one.looks_at, one.means, one.remedy):
            assert " ".join(text.split()) in words
    record = json.loads(succeeded(run("doctor PB204 --raw")))
    assert (record["check"], record["subject"]) == ("disk", "The data directory")
    assert "no code 'PB299'; did you mean PB2" in refused(run("doctor PB299"))


def test_people_see_it_by_subject_with_a_way_on(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "box.toml").write_text("htp_port = 1\n")
    done = run("doctor")
    assert done.status == 1
    lines = done.out.splitlines()
    at = lines.index("Settings and secrets")
    assert lines[at + 1].startswith("  fail  PB301 box.toml: ")
    assert lines[at + 2] == " " * 14 + "did you mean 'http_port'"
    assert lines[-1].startswith("1 failed, ")


# ---- a running box


def test_a_running_box_says_what_it_knows_itself(shared_box: RealBox, run: Run, look: Look) -> None:
    assert only(look("PB208")).text == f"held by this box, process {shared_box.client.status().pid}"
    assert only(look("PB209")).level == "ok"
    assert only(look("PB305")).text == "those of box.toml"
    assert only(look("PB801")).text == "none is set up"
    assert look("PB401") == []
    succeeded(run("config set scrub_days 9"))
    assert only(look("PB305"))[:2] == (
        "warn",
        "box.toml was changed since the start: scrub_days",
    )
    succeeded(run("config set --unset scrub_days"))
    with open(shared_box.home / "box.toml", "a") as file:
        file.write("nonsense = 1\n")
    assert "unknown setting 'nonsense'" in only(look("PB301")).text
    succeeded(run("config set --unset nonsense"))


def test_pipelines_and_sources_that_fail_are_named(shared_box: RealBox, look: Look) -> None:
    assert only(look("PB704")).level == "ok"
    c = shared_box.client
    c.create_repo("words")
    c.put_file("words@master:/a", b"a")
    c.create_pipelines(
        "pipeline: {name: broken}\ninput: {pfs: {repo: words, glob: /}}\n"
        "datum_tries: 1\ntransform: {cmd: ['false']}\n"
    )
    c.create_ingest("ingest: {name: dies}\nto: words@in\ncommand: {cmd: ['false']}\n")
    eventually(lambda: len(c.summary().attention) == 2, "both are wrong")
    failed = look("PB701")
    assert only(failed)[::3] == ("warn", "pipeline broken")
    assert "failed" in only(failed).text
    assert only(failed).remedy.startswith("pachybox logs --job broken@")
    crashing = look("PB702")
    assert only(crashing)[::3] == ("warn", "ingest dies")
    assert look("PB704") == []


# ---- one that does not run


def test_a_box_that_is_well_fails_nowhere(made: Path, look: Look) -> None:
    assert only(look("PB201"))[:2] == ("ok", f"{made} (exists)")
    assert only(look("PB208")).text == "no box runs here"
    assert only(look("PB209")).text.startswith("schema version ")
    assert only(look("PB303")).level == "ok"
    assert look("PB202") == look("PB207") == look("PB210") == look("PB304") == []


def test_rights_and_owners(made: Path, look: Look, is_root: bool) -> None:
    made.chmod(0o755)
    assert only(look("PB202")).remedy == f"run: chmod 700 {made}"
    (made / "box.toml").chmod(0o666)
    assert only(look("PB302")).level == "warn"
    (made / "secret.key").chmod(0o644)
    assert only(look("PB303")).text == f"others may read {made / 'secret.key'}"
    if is_root:
        os.chown(made / "logs", 12345, -1)
        assert only(look("PB207")).text.startswith("logs in ")
        os.chown(made / "logs", 0, -1)


@pytest.mark.parametrize(
    ("harm", "code", "says"),
    [
        (lambda h: (h / "secret.key").unlink(), "PB303", "is missing"),
        (lambda h: (h / "secret.key").write_text("xyz"), "PB303", "holds no key"),
        (lambda h: (h / "secret.key").write_text("ab"), "PB303", "holds no key"),
        (lambda h: (h / "store").rename(h / "gone"), "PB210", "has meta.duckdb and no store"),
        (lambda h: (h / "meta.duckdb").unlink(), "PB210", "has store and no meta.duckdb"),
        (lambda h: (h / "meta.duckdb").write_bytes(b"x" * 9999), "PB209", "cannot be read"),
        (lambda h: _newer(h / "meta.duckdb"), "PB209", "has schema version 9999"),
        (lambda h: (h / "box.toml").write_text('http_prt = 1'), "PB301", "unknown setting"),
        (lambda h: (h / "box.toml").write_text("="), "PB301", "cannot read"),
        (lambda h: _tear(h), "PB212", "is damaged"),
    ],
)  # fmt: skip
def test_what_keeps_a_box_from_working_fails_with_its_name(
    made: Path, look: Look, harm: Callable[[Path], object], code: str, says: str
) -> None:
    harm(made)
    found = only(look(code))
    assert found.level == "fail"
    assert says in found.text
    assert str(made) in found.text


def _tear(home: Path) -> None:
    """Damage a line of the journal in front of another."""
    with duckdb.connect(str(home / "meta.duckdb")) as database:
        ((number,),) = database.execute("SELECT max(number) FROM folded").fetchall()
    text = json.dumps({"n": number, "rows": {}}).encode()
    whole = b"%016x %s\n" % (xxhash.xxh3_64_intdigest(text), text)
    (home / "meta.duckdb.journal").write_bytes(b"0" + whole + whole)


def _newer(path: Path) -> None:
    with duckdb.connect(str(path)) as database:
        database.execute("INSERT INTO schema_version VALUES (9999)")


@pytest.fixture
def theirs(is_root: bool) -> Iterator[Path]:
    """A data directory that another user sees from outside."""
    if not is_root:
        pytest.skip("becoming another user takes root")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        (home / "run").mkdir(parents=True)
        (home / "box.toml").write_text("workers = 1\n")
        home.chmod(0o700)
        yield home


def test_another_users_directory_is_told_and_not_stumbled_over(theirs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, str(theirs)], capture_output=True, text=True, check=False
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert done.returncode == 1
    said = {r["code"]: r for r in records}
    assert said["PB201"]["detail"] == f"{theirs} cannot be written"
    assert said["PB301"]["detail"] == f"cannot read {theirs}/box.toml: Permission denied"


def test_a_clock_before_the_data_is_noticed(made: Path, look: Look) -> None:
    assert only(look("PB107")).level == "ok"
    then = time.time() + 7200
    os.utime(made / "meta.duckdb", (then, then))
    found = only(look("PB107"))
    assert found.level == "warn"
    assert "s before what the box wrote last" in found.text


def test_who_holds_the_lock_is_told(made: Path, look: Look) -> None:
    path = made / "run" / "box.pid"
    path.write_text("4711\n")
    assert "process 4711) was killed, the next start recovers" in only(look("PB208")).text
    with open(path) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = only(look("PB208"))
    assert found.level == "fail"
    assert found.text == f"process 4711 holds {made} and does not answer"
    assert "kill 4711" in found.remedy


def test_who_holds_a_port_is_told(home: Path, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    port, free = free_port(), free_port()
    monkeypatch.setenv("PACHYBOX_HTTP_PORT", str(port))
    monkeypatch.setenv("PACHYBOX_GRPC_PORT", str(free))
    with socket.create_server(("127.0.0.1", port)):
        taken, other = look("PB401")
    assert taken[::3] == ("fail", f"port {port} (HTTP)")
    assert f"taken by process {os.getpid()} (" in taken.text
    assert "config set http_port" in taken.remedy
    assert other[::3] == ("ok", f"port {free} (gRPC)")
    monkeypatch.setenv("PACHYBOX_HTTP_HOST", "203.0.113.7")
    assert "cannot listen on 203.0.113.7" in look("PB401")[0].text
    assert only(look("PB402")).text == "the box listens on 203.0.113.7, and has no certificate"


def test_a_misspelt_variable_is_found(
    home: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACHYBOX_SCRUB_DAY", "3")
    monkeypatch.setenv("PACHYBOX_SOMETHING", "else")
    found = only(look("PB304"))
    assert found[:3] == (
        "warn",
        "$PACHYBOX_SCRUB_DAY is no setting",
        "did you mean $PACHYBOX_SCRUB_DAYS?",
    )


def test_settings_beyond_the_machine(
    home: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACHYBOX_MEMORY_BYTES", "900TB")
    assert "memory_bytes is" in only(look("PB104")).text
    monkeypatch.setenv("PACHYBOX_RESERVE_BYTES", "900TB")
    found = only(look("PB204"))
    assert found.level == "fail"
    assert "writes are refused" in found.text


def test_a_low_limit_of_open_files_is_told(home: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", 'ulimit -n 256; exec "$0" -m pachybox.cli doctor --raw', sys.executable],
        capture_output=True,
        text=True,
        check=True,
    )
    records = {r["code"]: r for r in map(json.loads, done.stdout.splitlines())}
    assert records["PB105"]["level"] == "warn"
    assert "LimitNOFILE=" in records["PB105"]["remedy"]


def test_a_low_limit_of_memory_is_told(home: Path) -> None:
    script = 'ulimit -d 200000; exec "$0" -m pachybox.cli doctor --raw'
    done = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, check=True)
    records = {r["code"]: r for r in map(json.loads, done.stdout.splitlines())}
    assert records["PB104"]["level"] == "warn"
    assert "by RLIMIT_DATA: less than the box is made for" in records["PB104"]["detail"]


@pytest.fixture
def mounted(home: Path, is_root: bool) -> Iterator[Callable[[str], None]]:
    """Mounts a file system in memory at ``home``, with options."""
    if not is_root:
        pytest.skip("mounting takes root")
    home.mkdir()

    def mount(options: str) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(home)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")

    yield mount
    subprocess.run(["umount", str(home)], capture_output=True, check=False)


def test_file_systems(home: Path, look: Look, mounted: Callable[[str], None]) -> None:
    mounted("size=8m,nr_inodes=100")
    assert "gone when the machine starts again" in only(look("PB203")).text
    assert only(look("PB205")).level == "ok"
    for number in range(98):
        (home / str(number)).touch()
    assert only(look("PB205")).level == "warn"
    (home / "last").touch()
    assert only(look("PB205")).level == "fail"
    subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
    found = only(look("PB206"))
    assert found.level == "fail"
    assert "remount,rw" in found.remedy


# ---- the certificate


def certificate(folder: Path, begins: timedelta, ends: timedelta) -> tuple[Path, Path]:
    """A certificate of so long from now, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "box")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .sign(key, hashes.SHA256())
    )
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, private


@pytest.mark.parametrize(
    ("begins", "ends", "level", "says"),
    [
        (-1, 90, "ok", "ends in 3 months"),
        (-1, 29, "warn", "ends in 4 weeks"),
        (-9, -1, "fail", "is over since"),
        (1, 90, "fail", "begins at"),
    ],
)
def test_the_life_of_a_certificate(
    home: Path,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    begins: int,
    ends: int,
    level: str,
    says: str,
) -> None:
    cert, key = certificate(tmp_path, timedelta(days=begins), timedelta(days=ends, minutes=1))
    monkeypatch.setenv("PACHYBOX_TLS_CERT", str(cert))
    monkeypatch.setenv("PACHYBOX_TLS_KEY", str(key))
    found = only(look("PB403"))
    assert found.level == level
    assert says in found.text


def test_a_certificate_and_its_key(
    home: Path, look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path, timedelta(days=-1), timedelta(days=90))
    monkeypatch.setenv("PACHYBOX_TLS_CERT", str(cert))
    monkeypatch.setenv("PACHYBOX_TLS_KEY", str(key))
    key.chmod(0o644)
    assert only(look("PB403"))[:2] == ("warn", f"others may read {key}")
    (tmp_path / "other").mkdir()
    _, other = certificate(tmp_path / "other", timedelta(days=-1), timedelta(days=90))
    monkeypatch.setenv("PACHYBOX_TLS_KEY", str(other))
    assert only(look("PB403")).text == f"{other} is not the key of {cert}"
    monkeypatch.setenv("PACHYBOX_TLS_KEY", str(cert))
    assert "are no certificate and its key" in only(look("PB403")).text
    monkeypatch.setenv("PACHYBOX_TLS_KEY", str(tmp_path / "none"))
    assert only(look("PB403")).text.endswith("none cannot be read: No such file or directory")


# ---- the service: systemd does not run in tests, a program of its name answers as it does


@pytest.mark.parametrize(
    ("state", "level", "says"),
    [
        ("loaded active running success 0", "ok", "is active (running)"),
        ("loaded active running success 3", "warn", "restarted 3 times"),
        ("loaded active running watchdog 1", "warn", "did not answer its watchdog"),
        ("loaded failed failed watchdog 5", "fail", "it did not answer its watchdog"),
        ("loaded failed failed exit-code 0", "fail", "exit-code"),
        ("not-found inactive dead success 0", "", ""),
    ],
)
def test_what_systemd_says_of_the_unit(
    home: Path,
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    state: str,
    level: str,
    says: str,
) -> None:
    keys = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts")
    lines = "\n".join(f"echo {k}={v}" for k, v in zip(keys, state.split(), strict=True))
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    found = look("PB901")
    if not level:
        assert found == []
        return
    assert {one.level for one in found} == {level}
    assert says in found[0].text


# ---- what the parts of a box keep of their work


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Meta]:
    """Metadata in which parts have said something."""
    opened = Meta(tmp_path / "meta.duckdb")
    yield opened
    opened.close()


def of(found: Sequence[Finding], code: str) -> Finding:
    (one,) = (f for f in found if f.code == code)
    return one


def told(meta: Meta, config: Config, **parts: dict[str, Any]) -> list[Finding]:
    for part, said in parts.items():
        fact = (f"{part}.last", json.dumps(said))
        meta.write(lambda tx, fact=fact: tx.put(FACTS, fact))
    return list(live.findings(config, meta, (), store_bytes=100))


def test_backups_that_are_missing_late_or_failed(meta: Meta, tmp_path: Path) -> None:
    def config(**more: Any) -> Config:
        return Config(home=tmp_path, **{"backup_to": str(tmp_path), **more})

    daily = {"backup_schedule": "0 3 * * *"}
    now = time.time()
    assert of(told(meta, config(backup_to="")), "PB801").detail == "none is set up"
    assert "by hand only" in of(told(meta, config()), "PB801").detail
    assert "none was made yet" in of(told(meta, config(**daily)), "PB801").detail
    gone = config(backup_to=str(tmp_path / "no" / "disk"), **daily)
    assert of(told(meta, gone), "PB801").level == "fail"
    good = {"at": now - 60, "ok": True, "id": "x", "error": "", "bytes": 5}
    assert of(told(meta, config(**daily), backup=good), "PB801").level == "ok"
    old = {**good, "at": now - 3 * 86400}
    assert "another was due" in of(told(meta, config(**daily), backup=old), "PB801").detail
    bad = {"at": now - 60, "ok": False, "error": "the disk is full"}
    found = of(told(meta, config(**daily), backup=bad), "PB801")
    assert found.level == "fail"
    assert "the disk is full" in found.detail


def test_what_scrub_webhooks_and_janitor_said(meta: Meta, tmp_path: Path) -> None:
    now = time.time()
    well, ill = {"at": now, "ok": True}, {"at": now, "ok": False, "error": "E", "remedy": "R"}
    found = told(meta, Config(home=tmp_path), scrub=ill, webhooks=ill, janitor=well)
    assert (of(found, "PB802").level, of(found, "PB802").remedy) == ("fail", "R")
    assert (of(found, "PB803").level, of(found, "PB804").level) == ("warn", "ok")


def test_a_quota_that_is_used_up(meta: Meta, tmp_path: Path) -> None:
    assert of(told(meta, Config(home=tmp_path, quota_bytes=100)), "PB211").level == "ok"
    assert of(told(meta, Config(home=tmp_path, quota_bytes=99)), "PB211").level == "fail"
