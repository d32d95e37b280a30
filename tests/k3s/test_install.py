"""What install and uninstall do to the files of a system below a root; nothing is started, and k3s
is a stand-in (sticks.py)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pachybox.cli.app import run
from tests.arch.repo import ROOT
from tests.k3s import sticks

CONFIG = "etc/rancher/k3s/config.yaml"
REGISTRIES = "etc/rancher/k3s/registries.yaml"
RECORD = "etc/rancher/k3s/pachybox-installed.json"
PROGRAM = "usr/local/bin/k3s"
IMAGES = "var/lib/rancher/k3s/agent/images"
BOX = "var/lib/pachybox/box.toml"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="k3s is root's")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stick that nobody changes."""
    return sticks.stick(tmp_path_factory.mktemp("made") / "stick")


@pytest.fixture
def stick(tmp_path: Path, made: Path) -> Path:
    """A stick of the test's own."""
    return Path(shutil.copytree(made, tmp_path / "stick"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system of files alone, with a box."""
    folder = tmp_path / "root"
    for name in ("etc", "usr/local/bin", "var/lib/pachybox"):
        (folder / name).mkdir(parents=True)
    (folder / BOX).write_text("# mine\nhttp_port = 31000\n")
    return folder


class K3s:
    """The commands, on one root."""

    def __init__(self, root: Path, out: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._out = out

    def __call__(self, verb: str, *args: str, status: int = 0) -> str:
        """What it prints, errors too; fails when it ends with another ``status``."""
        self._out.readouterr()
        ended = run(["k3s", verb, "--root", str(self.root), *args])
        said = self._out.readouterr()
        assert ended == status, said.out + said.err
        return said.out + said.err

    def install(self, stick: Path, *args: str, status: int = 0) -> str:
        return self("install", "--from", str(stick), "--yes", *args, status=status)

    def steps(self, verb: str, *args: str) -> dict[str, str]:
        """What becomes of each path."""
        lines = self(verb, "--yes", "--raw", *args).splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return {one["where"]: one["state"] for one in found}


@pytest.fixture
def k3s(root: Path, capsys: pytest.CaptureFixture[str]) -> K3s:
    return K3s(root, capsys)


def tree(folder: Path) -> dict[str, str]:
    """Every file and link below, with what it holds; no directories."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_all_comes_from_the_stick_and_goes_again(k3s: K3s, root: Path, stick: Path) -> None:
    before = tree(root)
    (stick / "more.tar").write_bytes(sticks.archive("localhost/more:1"))
    more = hashlib.sha256((stick / "more.tar").read_bytes()).hexdigest()
    # As Windows writes it, with what else is on the stick; one name is no UTF-8.
    text = f"\ufeff# mine\r\n{more.upper()} *./more.tar\r\n{more}  other/more.tar\r\n"
    (stick / "SHA256SUMS").write_bytes(text.encode())
    shutil.copy(stick / "more.tar", stick / "\udcff\x1b[31m.tar")
    assert f"no checksum file in {stick} lists" in k3s.install(stick, status=1)
    said = k3s.install(
        stick, "--unverified", "--node-name", "lab", "--set", "cluster-cidr=10.50.0.0/16"
    )
    assert "\x1b" not in said

    program = root / PROGRAM
    assert program.read_bytes() == (stick / sticks.PROGRAM[sticks.ARCH]).read_bytes()
    assert program.stat().st_mode & 0o777 == 0o755
    assert (root / IMAGES / sticks.ARCHIVE).read_bytes() == (stick / sticks.ARCHIVE).read_bytes()
    assert (root / IMAGES / "more.tar").exists()
    assert (root / "usr/local/bin/kubectl").readlink() == Path("k3s")
    config = root / CONFIG
    assert config.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(config.read_text()) == {
        "write-kubeconfig-mode": "0600",
        "disable": ["traefik", "servicelb", "metrics-server"],
        "kubelet-arg": ["image-gc-high-threshold=100"],
        "node-name": "lab",
        "cluster-cidr": "10.50.0.0/16",
    }
    unit = (root / "etc/systemd/system/k3s.service").read_text()
    for line in ("Type=notify", "KillMode=process", "Delegate=yes", "Restart=always"):
        assert f"\n{line}\n" in unit
    assert (root / "etc/systemd/system/multi-user.target.wants/k3s.service").is_symlink()
    assert (root / BOX).read_text() == (
        "# mine\nhttp_port = 31000\n"
        'runner = "kubernetes"\n'
        'kubeconfig = "/etc/rancher/k3s/pachybox.yaml"\n'
        'kubernetes_namespace = "pachybox"\n'
    )

    again = k3s.steps("install", "--unverified", "--from", str(stick))
    assert set(again.values()) == {"kept"}
    (root / "var/lib/rancher/k3s/server").mkdir()
    k3s("uninstall", "--yes")
    assert tree(root) == before
    assert (root / "var/lib/rancher/k3s/server").exists()


def test_a_purge_takes_the_data_and_no_directory_of_others(
    k3s: K3s, root: Path, stick: Path
) -> None:
    data = root / "srv/k3s"
    k3s.install(stick, "--data-dir", "/srv/k3s")
    unit = (root / "etc/systemd/system/k3s.service").read_text()
    assert "\nRequiresMountsFor=/srv/k3s\n" in unit
    (data / "thesis.txt").write_text("years of work")
    said = k3s("uninstall", "--purge", "--yes", status=1)
    assert "/srv/k3s has other things in it than k3s's: thesis.txt" in said
    (data / "thesis.txt").unlink()
    other = k3s.install(stick, "--data-dir", "/srv/other", status=1)
    assert "k3s has its data in /srv/k3s, not in /srv/other" in other
    config = root / CONFIG
    config.write_text(config.read_text().replace("/srv/k3s", "/srv/moved"))
    assert "config.yaml says data-dir: /srv/moved" in k3s.install(stick, status=1)
    k3s("uninstall", "--purge", "--yes")
    assert not data.exists()
    assert k3s("uninstall") == "pachybox: k3s is not installed\n"


def test_a_dry_run_checks_the_stick_and_writes_nothing(k3s: K3s, root: Path, stick: Path) -> None:
    before = tree(root)
    said = k3s("install", "--from", str(stick), "--dry-run")
    assert f"program: /{PROGRAM} (made, if it were run)" in said
    assert f"settings of the box: /{BOX} (replaced, if it were run)" in said
    (stick / sticks.ARCHIVE).write_bytes(b"other")
    wrong = k3s("install", "--from", str(stick), "--dry-run", status=1)
    assert f"{sticks.ARCHIVE} is not what its checksum says" in wrong
    assert tree(root) == before


def test_it_is_shown_first_and_asked_for(
    k3s: K3s, root: Path, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(root)
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        said = k3s("install", "--from", str(stick), status=1)
    assert f"program: /{PROGRAM} (made, if it were run)" in said
    assert "not confirmed, nothing was done" in said
    assert tree(root) == before


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [_flipped, _cut], ids=["changed", "cut short"])
@pytest.mark.parametrize("name", [sticks.PROGRAM[sticks.ARCH], sticks.ARCHIVE])
def test_nothing_comes_from_a_stick_with_one_wrong_file(
    spoil: object, name: str, k3s: K3s, root: Path, stick: Path
) -> None:
    before = tree(root)
    spoil(stick / name)  # type: ignore[operator]
    assert f"{stick / name} is not what its checksum says" in k3s.install(stick, status=1)
    assert tree(root) == before


def test_files_without_a_checksum_are_taken_by_an_own_word_only(
    k3s: K3s, root: Path, stick: Path
) -> None:
    (stick / "more.tar").symlink_to("/etc/shadow")
    assert f"{stick / 'more.tar'} is a link" in k3s.install(stick, "--unverified", status=1)
    (stick / "more.tar").unlink()
    (stick / "more.tar").write_bytes(sticks.archive("localhost/more:1"))
    assert f"no checksum file in {stick} lists more.tar" in k3s.install(stick, status=1)
    (stick / "SHA256SUMS").write_text(f"{'0' * 64}  more.tar\n{'1' * 64}  more.tar\n")
    said = k3s.install(stick, status=1)
    assert f"{stick}/SHA256SUMS, line 2: another checksum of more.tar" in said
    (stick / "SHA256SUMS").unlink()
    (stick / sticks.SUMS).unlink()
    said = k3s.install(stick, status=1)
    assert f"{stick} has no {sticks.SUMS} and no SHA256SUMS" in said
    assert not (root / PROGRAM).exists()
    k3s.install(stick, "--unverified")
    assert (root / IMAGES / "more.tar").exists()
    assert k3s("status", status=1).count("Wrong") == 1, "all but that it has not run is well"


def test_what_a_stick_lacks_is_named(k3s: K3s, root: Path, stick: Path) -> None:
    own = sticks.PROGRAM[sticks.ARCH]
    program = stick / own
    good = program.read_bytes()
    program.write_bytes(sticks.program("v1", arch=sticks.OTHER))
    assert f"{program} is for {sticks.OTHER}" in k3s.install(stick, status=1)
    program.write_text("#!/bin/sh\n")
    assert f"{program} is no program of Linux" in k3s.install(stick, status=1)
    program.unlink()
    os.mkfifo(program)
    assert f"{program} is no file" in k3s.install(stick, status=1)
    program.unlink()
    assert f"{stick} has no {own}" in k3s.install(stick, status=1)
    program.write_bytes(good)
    (stick / sticks.ARCHIVE).rename(stick / sticks.ARCHIVE.replace(sticks.ARCH, sticks.OTHER))
    said = k3s.install(stick, status=1)
    assert f"{stick} has no k3s-airgap-images-{sticks.ARCH}.tar.zst, .tar.gz or .tar" in said
    assert "name the directory it comes on: --from DIR" in k3s("install", "--yes", status=1)
    assert tree(root).keys() == {BOX}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (PROGRAM, "/usr/local/bin/k3s was not installed by pachybox"),
        ("etc/systemd/system/k3s.service", "k3s.service was not installed by pachybox"),
        ("usr/lib/systemd/system/k3s.service", "there is another Kubernetes here"),
        ("usr/lib/systemd/system/kubelet.service", "there is another Kubernetes here"),
    ],
)
def test_a_kubernetes_of_somebody_else_is_left_alone(
    path: str, said: str, k3s: K3s, root: Path, stick: Path
) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("another's")
    before = tree(root)
    assert said in k3s.install(stick, status=1)
    assert tree(root) == before
    if path == PROGRAM:
        assert "was not installed by pachybox" in k3s("uninstall", "--yes", status=1)
        assert "not by pachybox" in k3s("status")


def test_a_program_changed_since_is_neither_replaced_nor_removed(
    k3s: K3s, root: Path, stick: Path
) -> None:
    k3s.install(stick)
    (root / PROGRAM).chmod(0o644)
    k3s.install(stick)
    assert os.access(root / PROGRAM, os.X_OK)
    (root / PROGRAM).write_text("mine")
    said = k3s.install(stick, status=1)
    assert "/usr/local/bin/k3s was changed since pachybox installed it" in said
    assert "/usr/local/bin/k3s is not what was installed" in k3s("status", status=1)
    assert "/usr/local/bin/k3s, which was changed since (kept)" in k3s("uninstall", "--yes")
    assert (root / PROGRAM).read_text() == "mine"


def test_settings_of_others_stay_and_come_back(k3s: K3s, root: Path, stick: Path) -> None:
    mine = (
        "# of the lab\n"
        "disable: [local-storage]\n"
        "\n"
        "# who may read it\n"
        "write-kubeconfig-mode: '0640' # the group\n"
        "kubelet-arg:\n"
        "- max-pods=50\n"
        "# the end\n"
    )
    mirrors = 'mirrors:\n  docker.io:\n    endpoint: ["https://mirror.lab"]\n'
    (root / CONFIG).parent.mkdir(parents=True)
    (root / "srv").mkdir()
    (root / CONFIG).symlink_to("../../../srv/config.yaml")
    (root / CONFIG).write_text(mine)
    (root / REGISTRIES).write_text(mirrors)
    (root / CONFIG).chmod(0o640)
    os.chown(root / CONFIG, 0, 1234)
    k3s.install(stick, "--with", "traefik", "--registry", "quay.io=http://localhost:5000")
    text = (root / CONFIG).read_text()
    assert yaml.safe_load(text) == {
        "disable": ["local-storage", "servicelb", "metrics-server"],
        "write-kubeconfig-mode": "0640",
        "kubelet-arg": ["max-pods=50", "image-gc-high-threshold=100"],
    }
    for line in ("# of the lab", "# who may read it", "# the end", "'0640' # the group"):
        assert line in text
    assert yaml.safe_load((root / REGISTRIES).read_text())["mirrors"] == {
        "docker.io": {"endpoint": ["https://mirror.lab"]},
        "quay.io": {"endpoint": ["http://localhost:5000"]},
    }
    assert set(k3s.steps("install").values()) == {"kept"}, "what was chosen stays chosen"
    k3s.install(stick, "--set", "kube-proxy-arg=[x=2026-11-27, 12:30:45]", "--set", "umask=0077")
    found = yaml.safe_load((root / CONFIG).read_text())
    assert (found["kube-proxy-arg"], found["umask"]) == (["x=2026-11-27", "12:30:45"], "0077")
    k3s("uninstall", "--yes")
    assert (root / CONFIG).is_symlink()
    there = (root / CONFIG).stat()
    assert (there.st_mode & 0o777, there.st_gid) == (0o640, 1234), "who may read it still may"
    assert yaml.safe_load((root / CONFIG).read_text()) == yaml.safe_load(mine)
    assert "# who may read it\nwrite-kubeconfig-mode" in (root / CONFIG).read_text()
    assert yaml.safe_load((root / REGISTRIES).read_text()) == yaml.safe_load(mirrors)


def test_settings_that_a_person_changed_later_are_kept(k3s: K3s, root: Path, stick: Path) -> None:
    k3s.install(stick, "--node-name", "lab", "--registry", "*=http://localhost:5000")
    config, registries = root / CONFIG, root / REGISTRIES
    config.write_text(config.read_text().replace("lab", "shed") + "# by hand\ntls-san: shed\n")
    registries.write_text(registries.read_text().replace("5000", "5001"))
    k3s.install(stick)
    assert yaml.safe_load(config.read_text())["node-name"] == "shed"
    said = k3s("uninstall", "--yes")
    assert "with node-name, changed since" in said
    assert config.read_text() == "node-name: shed\n# by hand\ntls-san: shed\n"
    assert "5001" in registries.read_text()


def test_a_box_told_otherwise_since_stays_so(k3s: K3s, root: Path, stick: Path) -> None:
    box = root / BOX
    box.write_text('runner = "podman"\n')
    k3s.install(stick)
    assert 'runner = "kubernetes"' in box.read_text()
    k3s("uninstall", "--yes")
    assert box.read_text() == 'runner = "podman"\n'
    k3s.install(stick)
    box.write_text(box.read_text().replace('"kubernetes"', '"process"'))
    k3s.install(stick)
    k3s("uninstall", "--yes")
    assert 'runner = "process"' in box.read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--root", ""), "--root names no directory"),
        (("--set", "token=abc"), "token is a secret"),
        (("--set", "etcd-s3-secret-key=abc"), "etcd-s3-secret-key is a secret"),
        (("--set", "t=abc"), "'t=abc' is not KEY=VALUE"),
        (("--set", "tls-san={a: b}"), "neither a text nor a list of them"),
        (("--set", "node-name=x"), "use --node-name"),
        (("--set", "write-kubeconfig=/x"), "write-kubeconfig cannot be set"),
        (("--set", "tls-san="), "tls-san has no value"),
        (("--set", "Key"), "'Key' is not KEY=VALUE"),
        (("--registry", "docker.io=localhost:5000"), "begin with http://"),
        (("--registry", "docker.io=https://me:pw@mirror"), "has a password in it"),
        (("--node-name", "My Lab"), "'My Lab' is no name for a node"),
        (("--data-dir", "/var"), "--data-dir '/var' cannot be"),
        (("--data-dir", "/srv/k3s\nExecStart=/x"), "cannot be"),
    ],
)
def test_flags_that_cannot_be(
    flags: tuple[str, ...], said: str, k3s: K3s, root: Path, stick: Path
) -> None:
    assert said in k3s.install(stick, *flags, status=1)
    assert tree(root).keys() == {BOX}


@pytest.mark.parametrize(
    ("file", "key", "remedy"),
    [
        (CONFIG, "write-kubeconfig", "take it out; the box and its account"),
        (f"{CONFIG}.d/10-lab.yaml", "write-kubeconfig", "take it out; the box and its account"),
        (f"{CONFIG}.d/10-lab.yaml", "data-dir", "take it out; use --data-dir"),
    ],
)
def test_settings_that_lead_elsewhere_are_named(
    file: str, key: str, remedy: str, k3s: K3s, root: Path, stick: Path
) -> None:
    at = root / file
    at.parent.mkdir(parents=True)
    at.write_text(f"{key}: /srv/other\n")
    before = tree(root)
    said = k3s.install(stick, status=1)
    assert f"/{file} has {key}, which is not followed there" in said
    assert remedy in said
    assert tree(root) == before
    at.write_text("node-label: [place=lab]\n")
    k3s.install(stick)


def child(*args: str, code: str = "", before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """The command as a process of its own, which ``code`` is run in first."""
    program = f"{code}\nimport sys\nfrom pachybox.cli.app import run\nsys.exit(run(sys.argv[1:]))"
    return subprocess.Popen(
        [*before, sys.executable, "-c", program, *args], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


_IN_THE_COPY = """
import os
from k3s import bundle
real = bundle._check
def check(item, found):
    if item.name.endswith(".zst"):
        os.kill(os.getpid(), 9)
    real(item, found)
bundle._check = check
"""
_BEHIND_THE_COPY = """
import os
from k3s import install
install.link = lambda *a, **k: os.kill(os.getpid(), 9)
"""


_AT_THE_BOX = """
import os
from k3s import boxes
real = boxes.change
def change(home, *args):
    {}
    (home / ".box.toml.1").write_text("a copy that was cut short")
    os.kill(os.getpid(), 9)
boxes.change = change
"""


@pytest.mark.parametrize(
    "code",
    [
        _IN_THE_COPY,
        _BEHIND_THE_COPY,
        _AT_THE_BOX.format(""),
        _AT_THE_BOX.format("real(home, *args)"),
    ],
    ids=["copying", "linking", "before the box", "behind the box"],
)
@pytest.mark.parametrize("then", ["install", "uninstall"])
def test_killed_it_is_ended_by_the_next(
    code: str, then: str, k3s: K3s, root: Path, stick: Path
) -> None:
    before = tree(root)
    with child(
        "k3s", "install", "--yes", "--root", str(root), "--from", str(stick), code=code
    ) as p:
        assert p.wait(60) == -9
    good = (stick / sticks.PROGRAM[sticks.ARCH]).read_bytes()
    for path in (root / "usr/local/bin").iterdir():
        assert path.read_bytes() == good or not path.stat().st_mode & 0o111, path.name
    assert "was interrupted" in k3s("status", status=1)
    if then == "install":
        k3s.install(stick)
        assert (root / PROGRAM).read_bytes() == good
        assert 'runner = "kubernetes"' in (root / BOX).read_text()
        assert not [p for p in root.rglob("*") if p.suffix[1:].isdecimal()], "nothing is left"
    k3s("uninstall", "--yes")
    assert tree(root) == before


def test_a_removal_that_was_killed_is_ended_by_the_next(k3s: K3s, root: Path, stick: Path) -> None:
    before = tree(root)
    k3s.install(stick)
    code = "import os\nfrom k3s import uninstall\n"
    code += "uninstall._settings = lambda *a, **k: os.kill(os.getpid(), 9)"
    with child("k3s", "uninstall", "--yes", "--root", str(root), code=code) as killed:
        assert killed.wait(60) == -9
    assert not (root / PROGRAM).exists()
    said = k3s("install", "--yes", status=1)
    assert "/usr/local/bin/k3s is missing; name the directory it comes from: --from DIR" in said
    k3s("uninstall", "--yes")
    assert tree(root) == before


def test_a_full_disk_leaves_nothing_half_done(k3s: K3s, root: Path, stick: Path) -> None:
    before = tree(root)
    args = ("k3s", "install", "--yes", "--root", str(root), "--from", str(stick))
    with child(*args, before=("prlimit", "--fsize=1000000", "--")) as limited:
        assert limited.wait(60) == 1
        assert limited.stdout is not None
        assert "cannot write the copies: File too large" in limited.stdout.read()
    assert tree(root) == before
    small = f'mount -t tmpfs -o size=8m none "{root}/var" && exec "$@"'
    with child(*args, before=("unshare", "-m", "sh", "-c", small, "sh")) as full:
        said = full.communicate(timeout=60)[0]
    if "unshare:" in said or "mount:" in said:
        pytest.skip("no mount can be made here")
    assert full.returncode == 1
    assert f"the disk of {root}/var has 8MiB free; k3s needs" in said
    assert tree(root) == before


def test_another_version_replaces_what_is_there(k3s: K3s, root: Path, stick: Path) -> None:
    k3s.install(stick)
    other = sticks.stick(stick.parent / "newer", "v1.32.0+k3s1")
    packed = sticks.ARCHIVE.replace(".zst", ".gz")
    (other / sticks.ARCHIVE).rename(other / packed)
    sticks.signed(other, sticks.SUMS, sticks.PROGRAM[sticks.ARCH], packed)
    assert k3s.steps("install", "--from", str(other))[f"/{PROGRAM}"] == "replaced"
    assert sorted(path.name for path in (root / "usr/local/bin").iterdir()) == [
        "crictl", "ctr", "k3s", "kubectl",
    ]  # fmt: skip
    k3s("uninstall", "--yes")
    assert not list((root / IMAGES).iterdir())


def test_commands_of_others_are_not_replaced(k3s: K3s, root: Path, stick: Path) -> None:
    (root / "usr/bin").mkdir()
    (root / "usr/bin/crictl").write_text("another's")
    (root / "usr/local/bin/kubectl").write_text("another's")
    assert "command: kubectl, which is there from elsewhere (kept)" in k3s.install(stick)
    assert (root / "usr/local/bin/kubectl").read_text() == "another's"
    assert not (root / "usr/local/bin/crictl").exists()
    k3s("uninstall", "--yes")
    assert sorted(p.name for p in (root / "usr/local/bin").iterdir()) == ["kubectl"]


def test_two_at_once_are_one_too_many(k3s: K3s, root: Path, stick: Path) -> None:
    import fcntl

    fd = os.open(root / "etc", os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert "another pachybox installs or removes k3s now" in k3s.install(stick, status=1)
    finally:
        os.close(fd)


def test_without_k3s_status_says_how_to_get_it(k3s: K3s, root: Path) -> None:
    said = k3s("status", status=1)
    assert "k3s is not installed" in said
    assert "pachybox k3s install --from DIR" in said
    assert json.loads(k3s("status", "--raw", status=1))["well"] is False


def test_below_a_root_no_link_leads_out_of_it(
    k3s: K3s, root: Path, stick: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "k3s").mkdir(parents=True)
    (outside / "box.toml").write_text('runner = "podman"\n')
    before = tree(outside)
    links = ("etc/rancher", "usr/local/bin", "var/lib/rancher", "etc/systemd", "var/lib/pachybox")
    for name in links:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).symlink_to(outside)
        said = k3s.install(stick, status=1)
        assert f"outside of {root}: a link leads there" in said
        (root / name).unlink()
        assert not (root / PROGRAM).exists(), "it is seen before anything is written"
    assert tree(outside) == before
    (root / "var/lib/pachybox").mkdir()
    (root / BOX).write_text("no settings")
    assert f"{root / BOX}" in k3s.install(stick, status=1)
    assert not (root / PROGRAM).exists()
    (root / BOX).unlink()
    (root / BOX).symlink_to(outside / "box.toml")
    assert f"outside of {root}: a link leads there" in k3s.install(stick, status=1)
    (root / BOX).unlink()
    (root / "data/rancher").mkdir(parents=True)
    (root / "var/lib/rancher").symlink_to("../../data/rancher")
    k3s.install(stick)
    assert (root / "data/rancher/k3s/agent/images" / sticks.ARCHIVE).exists()
    (root / "var/lib/kubelet").symlink_to(outside)
    assert "a link leads there" in k3s("uninstall", "--purge", "--yes", status=1)
    assert (root / PROGRAM).exists()
    assert tree(outside) == before


def test_a_purge_deletes_nothing_that_is_mounted(k3s: K3s, root: Path, stick: Path) -> None:
    k3s.install(stick)
    others, volume = root / "others", root / "var/lib/rancher/k3s/storage/volume"
    for folder in (others, volume):
        folder.mkdir(parents=True)
    (others / "thesis.txt").write_text("years of work")
    inside = f'mount --bind "{others}" "{volume}" && exec "$@"'
    args = ("k3s", "uninstall", "--purge", "--yes", "--root", str(root))
    with child(*args, before=("unshare", "-m", "sh", "-c", inside, "sh")) as purge:
        said = purge.communicate(timeout=60)[0]
    if "unshare:" in said or "mount:" in said:
        pytest.skip("no mount can be made here")
    assert f"{volume} is mounted" in said
    assert (others / "thesis.txt").exists()
    k3s("uninstall", "--purge", "--yes")
