"""What install and uninstall do to files, and what systemd says of the unit; nothing is started."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import cert
from appliance.service import plan, unit
from pachybox import placing, settings
from pachybox.cli.app import run
from pachybox.errors import Refused

MOST_EXPOSED = 3.2
UNIT = "etc/systemd/system/pachybox.service"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="a service of the machine takes root")


def pachybox(*args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the checkout, of a caller without settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PACHYBOX", "XDG"))}
    return subprocess.run(
        [sys.executable, "-m", "pachybox.cli", *args], env={**kept, **env},
        input=stdin, capture_output=True, text=True, check=False,
    )  # fmt: skip


def steps(*args: str, **env: str) -> dict[str, str]:
    """What becomes of each thing, by what it is."""
    done = pachybox(*args, "--raw", **env)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["what"]: one["state"] for one in found}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A small program that answers as the one file does."""
    path = tmp_path / "one-file"
    path.write_text("#!/bin/sh\necho 1.0\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system of files alone."""
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (made / "etc/group").write_text("root:x:0:\n")
    return made


@as_root
def test_below_a_root_everything_is_made_once(root: Path, program: Path) -> None:
    where = ("--root", str(root), "--program", str(program))
    ran = root.parent / "ran"
    program.write_text(f"#!/bin/sh\ntouch {ran}\necho 1.0\n")
    assert set(steps("install", *where, "--dry-run").values()) == {"made"}
    assert not ran.exists(), "it would unpack itself"
    assert sorted(path.name for path in root.rglob("*")) == ["etc", "group", "passwd"]

    assert set(steps("install", *where, "--port", "31600").values()) == {"made"}
    home = root / "var/lib/pachybox"
    settings = home / "box.toml"
    assert (home.stat().st_mode & 0o777, settings.stat().st_mode & 0o777) == (0o700, 0o600)
    line = next(x for x in (root / "etc/passwd").read_text().splitlines() if "pachybox" in x)
    assert home.stat().st_uid == settings.stat().st_uid == int(line.split(":")[2]) != 0
    assert line.endswith(":/var/lib/pachybox:/usr/sbin/nologin")
    assert "\nhttp_port = 31600\n" in settings.read_text()
    assert (root / "usr/local/bin/pachybox").read_bytes() == program.read_bytes()
    assert (root / "etc/systemd/system/multi-user.target.wants/pachybox.service").is_symlink()

    assert set(steps("install", *where, "--port", "31600").values()) == {"kept"}
    other = pachybox("install", *where, "--port", "31601")
    assert other.returncode == 1
    assert "box.toml says http_port = 31600" in other.stderr
    assert "pachybox config set http_port 31601" in other.stderr
    program.write_text("#!/bin/sh\necho 1.1\n")
    again = steps("install", *where, "--memory", "1GB")
    assert {what for what, state in again.items() if state == "replaced"} == {"program", "unit"}
    assert "MemoryMax=1000000000\n" in (root / UNIT).read_text()


@as_root
def test_what_was_chosen_once_stays_chosen(root: Path, program: Path) -> None:
    where = ("--root", str(root), "--program", str(program))
    told = ("--home", "/srv/a b", "--bin", "/opt/bin", "--run-as", "root", "--memory", "1GB")
    steps("install", *where, *told, "--writable", "/mnt/x", "--writable", "/mnt/y z")
    before = (root / UNIT).read_text()
    assert set(steps("install", *where).values()) == {"kept"}
    assert (root / UNIT).read_text() == before
    assert not (root / "var/lib/pachybox").exists()


@as_root
def test_a_unit_of_somebody_else_is_left_alone(root: Path, program: Path) -> None:
    (root / UNIT).parent.mkdir(parents=True)
    (root / UNIT).write_text("[Service]\nExecStart=/bin/true\n")
    for command in (("install", "--program", str(program)), ("uninstall", "--purge", "-y")):
        done = pachybox(*command, "--root", str(root))
        assert done.returncode == 1
        assert "was not written by pachybox install" in done.stderr
    assert "/bin/true" in (root / UNIT).read_text()


@as_root
def test_uninstall_leaves_data_and_what_others_use(root: Path, program: Path) -> None:
    where = ("--root", str(root))
    for name in ("pachybox", "second"):
        steps("install", *where, "--program", str(program), "--name", name)
    first = steps("uninstall", *where)
    assert (first["program"], first["unit"], first["data"]) == ("kept", "removed", "kept")
    for name in ("pachybox.previous", ".pachybox.old"):
        (root / "usr/local/bin" / name).write_text("left by an upgrade")
    last = pachybox("uninstall", *where, "--name", "second", "--purge", stdin="no\n")
    assert last.returncode == 1
    assert (root / "var/lib/second").exists()
    gone = steps("uninstall", *where, "--name", "second", "--purge", "-y")
    assert (gone["program"], gone["data"], gone["user"]) == ("removed", "removed", "removed")
    assert list((root / "usr/local/bin").iterdir()) == []
    assert "second" not in (root / "etc/passwd").read_text()
    assert pachybox("uninstall", *where).returncode == 0, "what is not there is no error"
    late = pachybox("uninstall", *where, "--purge", "-y")
    assert late.returncode == 1
    assert "/var/lib/pachybox is left from before" in late.stderr


@as_root
def test_a_directory_that_is_none_of_a_box_is_not_purged(root: Path, program: Path) -> None:
    home = root / "srv/data"
    where = ("--root", str(root))
    steps("install", *where, "--program", str(program), "--home", "/srv/data")
    (home / "box.toml").unlink()
    (home / "thesis.txt").write_text("years of work")
    refused = pachybox("uninstall", *where, "--purge", "-y")
    assert refused.returncode == 1
    assert "nothing of a box" in refused.stderr
    assert (home / "thesis.txt").exists()
    assert (root / UNIT).exists()


@as_root
def test_a_purge_removes_the_data_of_its_own_service_alone(root: Path, program: Path) -> None:
    where = ("--root", str(root))
    installed = (*where, "--program", str(program))
    (root / "srv/all").mkdir(parents=True)
    (root / "srv/all/thesis.txt").write_text("years of work")
    full = pachybox("install", *installed, "--home", "/srv/all")
    assert (full.returncode, "/srv/all has other things in it: thesis.txt" in full.stderr) == (1, 1)
    assert not (root / UNIT).exists()

    home = "/var/lib/pachybox"
    steps("install", *installed)
    steps("install", *installed, "--name", "second", "--home", home, "--run-as", "pachybox")
    shared = pachybox("uninstall", *where, "--purge", "-y")
    assert shared.returncode == 1
    assert f"{home} has the data of second.service in it too" in shared.stderr
    steps("uninstall", *where, "--name", "second")
    (root / "srv/box").parent.mkdir(exist_ok=True)
    (root / "var/lib/pachybox").rename(root / "srv/box")
    (root / "var/lib/pachybox").symlink_to("../../srv/box")
    linked = pachybox("uninstall", *where, "--purge", "-y")
    assert (linked.returncode, "is a link to" in linked.stderr) == (1, True)
    assert (root / "srv/box/box.toml").exists()
    assert (root / UNIT).exists()


def test_root_follows_no_link_of_the_directorys_owner(tmp_path: Path) -> None:
    """The service's user may plant links under names that root is about to write."""
    victim = tmp_path / "shadow"
    victim.write_text("root's own")
    victim.chmod(0o640)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("box.toml", "cert.pem", "key.pem", "ca.pem", "ca.key"):
        (home / f".{name}.{os.getpid()}").symlink_to(victim)
    placing.put_text(home / "box.toml", "http_port = 1\n", 0o600, (os.geteuid(), os.getegid()))
    (home / f".box.toml.{os.getpid()}").symlink_to(victim)
    assert settings.change(home, {"http_port": "2"})
    (home / "tls").symlink_to(tmp_path)
    with pytest.raises(Refused, match="tls is no directory"):
        cert.make(home, ["localhost"], 10)
    (home / "tls").unlink()
    (home / "tls").mkdir()
    for name in ("cert.pem", "key.pem", "ca.pem", "ca.key"):
        (home / f"tls/.{name}.{os.getpid()}").symlink_to(victim)
    cert.make(home, ["localhost"], 10)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("root's own", 0o640)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "shadow"]


@as_root
def test_root_changes_no_settings_behind_a_link_of_another(tmp_path: Path) -> None:
    target, link = tmp_path / "other.toml", tmp_path / "box.toml"
    target.write_text("http_port = 1\n")
    link.symlink_to(target)
    os.chown(link, 12345, 12345, follow_symlinks=False)
    with pytest.raises(Refused, match="is a link that user 12345 made"):
        settings.change(tmp_path, {"http_port": "2"})
    os.chown(link, 0, 0, follow_symlinks=False)
    assert settings.change(tmp_path, {"http_port": "2"})
    assert target.read_text() == "http_port = 2\n"


@as_root
def test_data_that_a_disk_is_mounted_on_goes(root: Path, program: Path) -> None:
    home = root / "var/lib/pachybox"
    steps("install", "--root", str(root), "--program", str(program))
    subprocess.run(["mount", "-t", "tmpfs", "none", home], check=True)
    try:
        (home / "box.toml").write_text("")
        (home / "store/aa").mkdir(parents=True)
        done = pachybox("uninstall", "--root", str(root), "--purge", "-y")
        assert done.returncode == 0, done.stderr
        assert "emptied" in done.stdout
        assert list(home.iterdir()) == []
        assert not (root / UNIT).exists()
    finally:
        subprocess.run(["umount", home], check=True)


@as_root
def test_data_of_a_box_that_runs_is_not_purged(root: Path, program: Path) -> None:
    steps("install", "--root", str(root), "--program", str(program))
    home = root / "var/lib/pachybox"
    (home / "run").mkdir()
    with open(home / "run/box.pid", "w") as lock:  # as a box does
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = pachybox("uninstall", "--root", str(root), "--purge", "-y")
    assert done.returncode == 1
    assert "the box at /var/lib/pachybox is running; stop it first" in done.stderr
    assert (home / "box.toml").exists()
    assert (root / "usr/local/bin/pachybox").exists()


@as_root
def test_a_purge_that_was_cut_short_is_ended_by_the_next(root: Path, program: Path) -> None:
    steps("install", "--root", str(root), "--program", str(program))
    store = root / "var/lib/pachybox/store"
    store.mkdir()
    code = "import os, shutil, sys\nfrom pachybox.cli.app import run\n"
    code += "shutil.rmtree = lambda *a: os.kill(os.getpid(), 9)\nrun(sys.argv[1:])"
    command = [sys.executable, "-c", code, "uninstall", "--root", str(root), "--purge", "-y"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    assert store.exists()
    gone = steps("uninstall", "--root", str(root), "--purge", "-y")
    assert (gone["data"], gone["user"], gone["unit"]) == ("removed", "removed", "removed")


@as_root
def test_a_purge_deletes_nothing_that_is_mounted(root: Path, program: Path) -> None:
    steps("install", "--root", str(root), "--program", str(program))
    volume, thesis = root / "var/lib/pachybox/volume", root / "srv/thesis.txt"
    for folder in (volume, thesis.parent):
        folder.mkdir()
    thesis.write_text("years of work")
    subprocess.run(["mount", "--bind", thesis.parent, volume], check=True)
    try:
        done = pachybox("uninstall", "--root", str(root), "--purge", "-y")
    finally:
        subprocess.run(["umount", volume], check=True)
    assert (done.returncode, f"{volume} is mounted" in done.stderr) == (1, True)
    assert thesis.exists()
    assert (root / "etc/systemd/system/multi-user.target.wants/pachybox.service").is_symlink()
    steps("uninstall", "--root", str(root), "--purge", "-y")


@as_root
@pytest.mark.parametrize(
    "name",
    [
        "etc/systemd", UNIT, f"{UNIT}.d", "var/lib/pachybox", "var/lib/pachybox/box.toml",
        "var/cache/pachybox", "usr/local/bin", "usr/local/bin/pachybox", "usr/local/share",
        "etc/passwd", "etc/shadow",
    ],
)  # fmt: skip
def test_below_a_root_no_link_leads_out_of_it(
    root: Path, program: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "thesis.txt").write_text("years of work")
    where = ("--root", str(root))

    def led_out() -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(outside)

    def refused(*args: str) -> bool:
        before = sorted(root.rglob("*"))
        assert run([*args, *where]) == 1
        assert f"outside of {root}: a link leads there" in capsys.readouterr().err
        return sorted(root.rglob("*")) == before

    (root / name).unlink(missing_ok=True)
    led_out()
    assert refused("install", "--program", str(program))
    (root / name).unlink()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    assert run(["install", *where, "--program", str(program)]) == 0
    if name != "var/lib/pachybox/box.toml":  # that link goes itself
        if (root / name).exists():
            (root / name).rename(root.parent / "former")
        led_out()
        assert refused("uninstall", "--purge", "-y")
    assert [path.name for path in outside.iterdir()] == ["thesis.txt"]


@as_root
def test_users_below_a_root_are_no_matter_of_this_machine(root: Path, program: Path) -> None:
    where = ("--root", str(root), "--program", str(program))
    done = pachybox("install", *where, "--run-as", "nobody")
    assert (done.returncode, "there is no user nobody" in done.stderr) == (1, True)
    (root / "srv/data").mkdir(parents=True)
    (root / "var").mkdir()
    (root / "var/lib").symlink_to("../srv/data")
    trace = root.parent / "log"
    trace.mkdir()
    (trace / "lastlog").write_bytes(before := b"x" * 400_000)  # of 1,300 users
    script = 'mount --bind "$0" /var/log || exit 77; exec "$@"'
    command = [sys.executable, "-m", "pachybox.cli", "install", *where]
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(trace), *command],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode == 77:
        pytest.skip("no mount namespace can be made here")
    assert ended.returncode == 0, ended.stderr
    assert (trace / "lastlog").read_bytes() == before
    assert (root / "srv/data/pachybox/box.toml").exists(), "a link within leads where it says"


@as_root
def test_a_program_that_is_not_below_the_root_is_not_started_there(root: Path) -> None:
    done = pachybox("install", "--root", str(root), "--run-as", "root", PACHYBOX_FILE="")
    assert done.returncode == 1
    assert f"is not in {root}; install from the one file" in done.stderr
    assert not (root / UNIT).exists()


@pytest.mark.parametrize("given", ["/", "//", "/tmp/..", "/proc/self/root"])
def test_this_machine_is_known_by_any_name(given: str) -> None:
    assert plan.system(root=placing.named_root(given)).live
    assert plan.system(root=placing.named_root(None)).live


@as_root
def test_data_of_another_user_is_not_taken(root: Path, program: Path) -> None:
    (root / "srv/data").mkdir(parents=True)
    where = ("--root", str(root), "--program", str(program), "--home", "/srv/data")
    done = pachybox("install", *where)
    assert done.returncode == 1
    assert "/srv/data belongs to user 0, not to pachybox; give it to it, chown -R" in done.stderr
    uid = next(x for x in (root / "etc/passwd").read_text().splitlines() if "pachybox" in x)
    os.chown(root / "srv/data", int(uid.split(":")[2]), 0)
    assert steps("install", *where)["data"] == "kept"


@as_root
def test_without_systemd_nothing_is_written(tmp_path: Path, program: Path) -> None:
    names = ("var/lib", "etc/systemd/system", "usr/local")
    folders = [tmp_path / name for name in names]
    script = (
        "mount -t tmpfs none /run || exit 77; for d in var/lib etc/systemd/system usr/local; do "
    )
    script += 'mkdir -p "$0/$d" && mount --bind "$0/$d" "/$d" || exit 77; done; exec "$@"'
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX")}
    command = [sys.executable, "-m", "pachybox.cli", "install", "--program", str(program)]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(tmp_path), *command],
        env=kept, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip("no mount namespace can be made here")
    assert done.returncode == 1
    assert "systemd does not run this machine" in done.stderr
    assert "pachybox up --detach" in done.stderr
    assert [path for folder in folders for path in folder.rglob("*")] == []


@as_root
def test_what_is_no_program_of_ours_is_refused_before_anything(root: Path, program: Path) -> None:
    program.write_text("#!/bin/sh\necho no glibc here >&2\nexit 1\n")
    done = pachybox("install", "--root", str(root), "--program", str(program))
    assert done.returncode == 1
    assert "no glibc here" in done.stderr
    assert not (root / "var").exists() or not (root / "var/lib").exists()


@as_root
def test_a_directory_without_a_system_is_refused_before_anything(
    tmp_path: Path, program: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = pachybox("install", "--root", str(empty), "--program", str(program))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{empty} is no system: it has no etc/passwd" in done.stderr
    assert not list(empty.iterdir())


@as_root
def test_only_root_installs_for_the_machine(program: Path) -> None:
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c",
         "from appliance.service import install, plan; from pachybox.systemd import *\n"
         "install.check(plan.system(), Systemd(), start=False)"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    if "Permission denied" in done.stderr or "not found" in done.stderr:
        pytest.skip("another user cannot run this checkout's Python")
    assert "pachybox.errors.Refused: a service of the machine is installed by root" in done.stderr


def test_a_service_of_ones_own(tmp_path: Path, program: Path) -> None:
    home = {"HOME": str(tmp_path / "me")}
    made = steps("install", "--user", "--no-start", "--program", str(program), **home)
    assert set(made.values()) == {"made"}
    assert (tmp_path / "me/.local/bin/pachybox").exists()
    text = (tmp_path / "me/.config/systemd/user/pachybox.service").read_text()
    assert f"Environment=PACHYBOX_HOME={tmp_path}/me/.local/share/pachybox\n" in text
    assert "User=" not in text.partition("[X-Pachybox]")[0]
    gone = steps("uninstall", "--user", **home)
    assert (gone["program"], gone["data"]) == ("removed", "kept")
    program.chmod(0o600)
    done = pachybox("install", "--user", "--no-start", "--program", str(program), **home)
    assert f"{program} does not run here: Permission denied; chmod +x" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--name", "../x"), "no name for a service"),
        (("--home", "/"), "--home cannot be /"),
        (("--home", "/a\nb"), "control character"),
        (("--user", "--run-as", "x"), "leave --user out"),
        (("--program", "/nowhere/file"), "is no file"),
        (("--root", ""), "--root names no directory"),
        (("--user", "--root", ""), "leave --user out"),
    ],
)
def test_what_cannot_be_is_refused(args: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = pachybox("install", "--no-start", "--dry-run", *args, HOME=str(tmp_path))
    assert done.returncode == 1
    assert said in done.stderr


analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


@analyze
@pytest.mark.parametrize("user", ["pachybox", "root", ""])
def test_systemd_finds_nothing_wrong_with_the_unit(user: str, tmp_path: Path) -> None:
    made = plan.system(user=user) if user else plan.own()
    whole = replace(made, command=("/bin/true",), memory=1 << 30, writable=(Path("/mnt/a b"),))
    path = tmp_path / "pachybox.service"
    path.write_text(unit.render(whole).replace("User=pachybox\n", "User=daemon\n", 1))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *([] if user else ["--user"]), str(path)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "pachybox" in line] == []
    assert done.returncode == 0, done.stderr


@analyze
def test_the_unit_is_as_closed_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "pachybox.service"
    path.write_text(unit.render(plan.system()))
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    most = f"--threshold={int(MOST_EXPOSED * 10)}"
    done = subprocess.run([*command, most, str(path)], capture_output=True, text=True, check=False)
    assert "Overall exposure level" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1))
def test_what_a_unit_says_of_itself_is_read_back(name: str) -> None:
    made = plan.system(home=Path("/srv") / "box" / name.strip("/."), bin_=Path("/opt") / "bin")
    facts = unit.facts(unit.render(made))
    assert facts["Home"] == str(made.home)
    assert facts["Program"] == "/opt/bin/pachybox"
    assert facts["User"] == "pachybox"
