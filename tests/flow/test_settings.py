"""Settings: flags over the environment over box.toml, shown with where they came from, changed
with the file as its owner wrote it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox import settings
from pachybox.cli.candidates import candidates
from pachybox.config import SETTINGS, Setting, Value, check_together, load
from pachybox.errors import InvalidArgument, PachyboxError, Refused
from tests.boxes import RealBox
from tests.flow.shell import Run, refused, succeeded

FILE = """\
# this box is in the cellar
http_port = 0  # any
grpc_port = 0

log_level = "warning"
"""


@pytest.fixture
def home(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of a box that was never started; what ``run`` uses."""
    found = tmp_path / "cold"
    monkeypatch.setenv("PACHYBOX_HOME", str(found))
    return found


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box started with a flag, a variable and a file."""
    box = RealBox(
        tmp_path_factory.mktemp("flagged") / "home",
        env={"PACHYBOX_EVENTS_KEPT": "5000", "PACHYBOX_SCRUB_DAYS": "8"},
        settings=(
            'token = "the-token"\nscrub_days = 9\nlogs_bytes = "2GB"\n'
            '[[webhook]]\nurl = "https://u:pw@hooks.example/T0/S3CR3T?k=v"\nsecret = "hook-key"\n'
        ),
    )
    box.cli("up", "--detach", "--set", "scrub_days=7", "--set", "audit_bytes=1MiB")
    yield box
    box.forget_client()
    box.cli("down")


def test_flags_go_before_the_environment_and_that_before_the_file(flagged: RealBox) -> None:
    found = {
        record["key"]: (record["value"], record["origin"])
        for record in map(json.loads, flagged.cli("config", "get", "--raw").splitlines())
    }
    assert found["scrub_days"] == (7, "flag")
    assert found["audit_bytes"] == (1 << 20, "flag")
    assert found["events_kept"] == (5000, "environment")
    assert found["logs_bytes"] == (2_000_000_000, "box.toml")
    assert found["workers"] == (0, "default")
    assert found["token"] == ("***", "box.toml")
    assert found["webhook"] == ("https://hooks.example/... (all events, signed)", "box.toml")
    assert set(SETTINGS) < set(found)


def test_nothing_shows_a_secret(flagged: RealBox) -> None:
    said = flagged.cli("config", "get") + flagged.cli("config", "get", "token", "webhook")
    said += json.dumps(flagged.client.settings())
    for secret in ("the-token", "S3CR3T", "pw", "hook-key"):
        assert secret not in said


def test_one_value_is_printed_alone_with_its_origin_beside(flagged: RealBox) -> None:
    done = flagged.run("config", "get", "scrub_days")
    assert done.stdout == "7\n"
    assert done.stderr == "pachybox: scrub_days: from a flag\n"


def test_a_running_box_is_told_to_need_a_restart_unless_a_flag_rules(flagged: RealBox) -> None:
    done = flagged.run("config", "set", "gc_interval_s", "1h30m")
    assert (done.returncode, done.stdout) == (0, "")
    assert "when it starts again: pachybox down, pachybox up" in done.stderr
    assert 'gc_interval_s = "1h30m"' in (flagged.home / "box.toml").read_text()
    done = flagged.run("config", "set", "scrub_days", "30")
    assert done.stderr == ("pachybox: scrub_days stays 7 while the box is started with it (flag)\n")
    done = flagged.run("config", "set", "scrub_days", "30")
    assert "says so already" in done.stderr


def test_a_box_that_does_not_run_shows_what_it_would_start_with(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACHYBOX_WORKERS", "3")
    succeeded(run("config set runner process"))
    record = json.loads(succeeded(run("config get workers --raw")))
    assert record == {"key": "workers", "value": 3, "origin": "environment"}
    assert json.loads(succeeded(run("config get runner --raw")))["origin"] == "box.toml"
    said = run("config set workers 2")
    assert said.err == "pachybox: $PACHYBOX_WORKERS is set here and goes before box.toml\n"
    assert load(home).workers == 3


def test_a_change_keeps_comments_order_and_mode(run: Run, home: Path) -> None:
    home.mkdir()
    path = home / "box.toml"
    path.write_text(FILE)
    path.chmod(0o644)
    succeeded(run("config set http_port 8080 workers 2"))
    assert path.read_text() == FILE.replace("http_port = 0 ", "http_port = 8080 ") + "workers = 2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    succeeded(run("config set --unset workers"))
    succeeded(run("config set http_port 0"))
    assert path.read_text() == FILE
    assert [p.name for p in home.iterdir()] == ["box.toml"]


def test_a_secret_is_read_from_stdin_and_closes_the_file(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "box.toml").write_text(FILE)
    (home / "box.toml").chmod(0o644)
    said = refused(run("config set token abc"))
    assert "token is a secret" in said
    assert "config set token -" in said
    assert "abc" not in said
    assert "no value for token" in refused(run("config set token -"))
    succeeded(run("config", "set", "token", "-", stdin=b"s3cret\n"))
    assert load(home).token == "s3cret"
    assert stat.S_IMODE((home / "box.toml").stat().st_mode) == 0o600
    assert succeeded(run("config get token")) == "***\n"
    assert "token is a secret" in refused(run("up --set token=abc"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("set http_prt 1", "unknown setting 'http_prt'; did you mean 'http_port'"),
        ("set http_port", "http_port has no value"),
        ("set http_port x", "http_port must be int, not 'x'"),
        ("set http_port 70000", "http_port cannot be 70000; give at most 65535"),
        ("set runner docker", "use one of auto, process, podman, kubernetes"),
        ("set disk_warn_percent 99", "disk_pause_percent (92) is below disk_warn_percent (99)"),
        ("set tls_cert /x.pem", "tls_cert and tls_key go together"),
        ("set s3_domain A_B", "is no host name"),
        ("set backup_to ftp://x", "backup_to: backups cannot go to ftp://"),
        ("set backup_to here", "backup_to: backups cannot go to 'here'; name an absolute path"),
        ("set backup_schedule 1h", "backup_schedule: "),
        ("set backup_keep most", "backup_keep: 'most' says not what to keep"),
        ("set webhook https://x", "write [[webhook]]"),
        ("set --unset workers", "does not set workers"),
        ("set", "nothing to set"),
        ("get htp_port", "did you mean 'http_port'"),
        ("explain backup_shedule", "did you mean 'backup_schedule'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy_and_not_written(
    run: Run, home: Path, words: str, says: str
) -> None:
    assert says in refused(run(f"config {words}"))
    assert not (home / "box.toml").exists()


def test_a_file_that_does_not_load_can_be_mended(run: Run, home: Path) -> None:
    home.mkdir()
    (home / "box.toml").write_text("http_prt = 1\nworkers = 2\n")
    assert "did you mean 'http_port'" in refused(run("config get"))
    assert "did you mean 'http_port'" in refused(run("config set workers 3"))
    succeeded(run("config set --unset http_prt"))
    assert load(home).workers == 2
    (home / "box.toml").write_text("workers = \n")
    assert "mend or remove the file" in refused(run("config set workers 3"))


def test_settings_of_another_machine_are_read_and_not_written(
    run: Run, shared_box: RealBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACHYBOX_ADDRESS", shared_box.client.status().address)
    assert succeeded(run("config get grpc_port")) == "0\n"
    assert "are in a file of its machine" in refused(run("config set workers 3"))


def test_a_wrong_flag_keeps_the_box_from_starting(run: Run, home: Path) -> None:
    assert "did you mean 'scrub_days'" in refused(run("up --detach --set scrub_day=3"))
    assert "'workers' is not KEY=VALUE" in refused(run("up --set workers"))


def test_every_key_is_explained(run: Run, home: Path) -> None:
    table = succeeded(run("config explain"))
    for key, one in SETTINGS.items():
        assert one.about.help in table
        record = json.loads(succeeded(run(f"config explain {key} --raw")))
        assert record["default"] == one.default
        assert record["secret"] is one.about.hidden
        assert one.variable in succeeded(run(f"config explain {key}"))
    assert "a list of job_failed" in succeeded(run("config explain webhook"))


def test_keys_and_what_they_may_be_are_completed() -> None:
    assert list(candidates(["config", "get"], "http_")) == ["http_host", "http_port"]
    assert list(candidates(["config", "set", "runner"], "p")) == ["process", "podman"]
    assert "active-context" in list(candidates(["config", "set"], "a"))


def values(one: Setting) -> st.SearchStrategy[str]:
    if one.kind is int:
        return st.integers(one.about.least, min(one.about.most, 1 << 40)).map(str)
    if one.about.choices:
        return st.sampled_from(one.about.choices)
    if one.key.endswith("_host"):
        return st.ip_addresses().map(str) | st.sampled_from(["localhost", "lab-01.example.org"])
    return st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@given(st.data())
def test_what_is_set_is_what_loads(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any keys in any order, written one by one and taken out again."""
    home = tmp_path_factory.mktemp("any")
    free = [k for k in SETTINGS if not k.startswith(("disk_", "tls_", "s3_"))]
    keys = data.draw(st.lists(st.sampled_from(free), min_size=1, max_size=6, unique=True))
    (home / "box.toml").write_text(
        data.draw(st.sampled_from(["", "# a\n", '[[webhook]]\nurl = "http://h"\n']))
    )
    before = (home / "box.toml").read_text()
    wanted = {key: data.draw(values(SETTINGS[key])) for key in keys}
    for key, text in wanted.items():
        settings.change(home, {key: text})
    config = load(home)
    for key, text in wanted.items():
        assert getattr(config, key) == (int(text) if SETTINGS[key].kind is int else text)
    settings.change(home, {}, keys)
    assert load(home).webhooks == config.webhooks
    assert (home / "box.toml").read_text().split() == before.split()


def test_changes_at_the_same_time_all_hold(tmp_path: Path) -> None:
    keys = [
        k for k, one in SETTINGS.items() if one.kind is int and "disk" not in k and "port" not in k
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: settings.change(tmp_path, {key: "12345"}), keys))
    config = load(tmp_path)
    assert all(getattr(config, key) == 12345 for key in keys)


def test_a_file_reached_by_a_link_stays_behind_the_link(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "box.toml").symlink_to(tmp_path / "etc" / "box.toml")
    settings.change(tmp_path / "home", {"workers": "2"})
    assert (tmp_path / "home" / "box.toml").is_symlink()
    assert (tmp_path / "etc" / "box.toml").read_text() == "workers = 2\n"


def test_what_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PachyboxError, match="cannot write"):
        settings.change(tmp_path / "file", {"workers": "2"})


@pytest.mark.parametrize("text", ["workers", "=2", "a b=2"])
def test_a_flag_is_key_and_value(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not KEY=VALUE"):
        settings.pair(text)


def test_a_file_edited_by_hand_is_left_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "box.toml"
    file.write_bytes(b"# mine\r\nhttp_port = 0 # any\r\n\r\n[[webhook]]\r\nurl = 'http://h'\r\n")
    assert settings.change(tmp_path, {"http_port": "81"})
    assert file.read_bytes() == (
        b"# mine\r\nhttp_port = 81 # any\r\n\r\n[[webhook]]\r\nurl = 'http://h'\r\n"
    )
    file.write_bytes(b"# caf\xe9\nhttp_port = 0\n")
    with pytest.raises(InvalidArgument, match="cannot read"):
        settings.change(tmp_path, {"http_port": "81"})
    file.write_text("http_port = 0\n")
    together = check_together

    def saved_meanwhile(path: Path, values: Mapping[str, Value]) -> None:
        file.write_text("http_port = 5\n")
        together(path, values)

    monkeypatch.setattr("pachybox.settings.check_together", saved_meanwhile)
    with pytest.raises(Refused, match="saved by somebody else"):
        settings.change(tmp_path, {"grpc_port": "82"})
    assert file.read_text() == "http_port = 5\n"
