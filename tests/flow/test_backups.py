"""Backups: what changed goes to a place, any of them comes back, and nothing is done again."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.errors import Corrupt, NotFound, NotReady, PachyboxError, Refused
from tests.boxes import RealBox, eventually
from tests.flow.whole_box import LARGE, filled, known


def size_of(place: Path) -> int:
    return sum(p.stat().st_size for p in place.rglob("*") if p.is_file())


def packs(place: Path) -> list[Path]:
    return sorted((place / "packs").glob("*/*"), key=lambda p: p.stat().st_size)


def revived(source: RealBox, place: Path, home: Path, id: str = "latest") -> RealBox:
    """A box started in what was restored from a backup."""
    source.cli("backup", "restore", id, "--from", str(place), "--home", str(home))
    return RealBox(home).start()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    box = filled(RealBox(tmp_path_factory.mktemp("source") / "home").start())
    yield box
    box.stop()


def test_every_backup_comes_back_as_it_was_and_only_what_is_new_runs(
    box: RealBox, tmp_path: Path
) -> None:
    """Two backups with a change between them, restored by a command without a box."""
    filled(box)
    c, place = box.client, tmp_path / "place"
    first, before = c.create_backup(str(place)), known(box)
    grown = size_of(place)
    c.put_file("texts@master:/a", b"other\n")
    c.wait_commit("joined@master")
    second, after = c.create_backup(str(place)), known(box)
    assert size_of(place) - grown < len(LARGE) + 100_000  # all of it is in joined once more
    assert [one.id for one in c.list_backup(str(place))] == [first.id, second.id]
    for id, wanted in ((first.id, before), (second.id, after)):
        again = revived(box, place, tmp_path / id, id)
        try:
            assert known(again) == wanted
            assert not [f for f in again.client.fsck() if f.get("level") == "error"]
            again.client.put_file("texts@master:/b", b"new\n")
            again.client.wait_commit("joined@master")
            job = next(iter(again.client.list_job("upper")))
            assert (job.processed, job.skipped) == (1, 2)
        finally:
            again.stop()


def test_an_empty_box_that_runs_is_filled_and_a_full_one_refuses(
    source: RealBox, box: RealBox, tmp_path: Path
) -> None:
    place = str(tmp_path / "place")
    made = source.client.create_backup(place)
    with pytest.raises(Refused, match="not empty"):
        source.client.restore_backup(to=place)
    box.client.restore_backup(made.id[:20], place)
    assert known(box) == known(source)
    box.kill()
    box.start()
    assert known(box) == known(source)


def test_nothing_new_costs_next_to_nothing(source: RealBox, tmp_path: Path) -> None:
    place = tmp_path / "place"
    source.client.create_backup(str(place))
    before = len(packs(place))
    again = source.client.create_backup(str(place))
    assert again.sent_bytes < 5000
    assert len(packs(place)) - before <= 1  # the event that tells of the first one


def test_other_directories_and_its_own_are_no_place(source: RealBox, tmp_path: Path) -> None:
    c = source.client
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").write_text("x")
    with pytest.raises(Refused, match="other files"):
        c.create_backup(str(other))
    assert sorted(p.name for p in other.iterdir() if p.is_file()) == ["mine"]
    for inside in (source.home / "backup", source.home.parent):
        with pytest.raises(Refused, match="own directory"):
            c.create_backup(str(inside))
    with pytest.raises(NotFound, match="holds no backups"):
        list(c.list_backup(str(tmp_path / "nothing")))


def test_a_file_is_no_place(source: RealBox, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("dear")
    with pytest.raises(
        Refused, match=r"letter/.* is below a symlink, or what is no directory; name"
    ):
        source.client.create_backup(str(tmp_path / "letter"))
    with pytest.raises(Refused, match="name a directory"):
        list(source.client.list_backup(str(tmp_path / "letter")))


def test_a_disk_that_is_not_mounted_is_no_new_place(box: RealBox, tmp_path: Path) -> None:
    place = tmp_path / "place"
    box.client.create_backup(str(place))
    place.rename(tmp_path / "away")
    place.mkdir()
    with pytest.raises(NotReady, match="mount the right disk"):
        box.client.create_backup(str(place))
    assert list(place.iterdir()) == []
    box.client.create_backup(str(place), new=True)


def test_damage_is_found_named_and_mended_by_the_next_backup(
    source: RealBox, box: RealBox, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    c = source.client
    c.create_backup(str(place))
    assert not c.verify_backup(str(place), share=1.0).get("problems")
    largest = packs(place)[-1]
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    ran = source.run("backup", "verify", "--read-all", "--from", str(place))
    assert ran.returncode == 1
    assert str(largest) in ran.stdout
    with pytest.raises(Corrupt, match="damaged"):
        box.client.restore_backup(to=str(place))
    assert list(box.client.list_repo(type="all")) == []
    largest.unlink()
    assert c.verify_backup(str(place))["problems"]
    c.create_backup(str(place))
    assert not c.verify_backup(str(place), ["latest"], share=1.0).get("problems")
    box.client.restore_backup(to=str(place))
    assert known(box)["files"] == known(source)["files"]


@pytest.mark.parametrize("folder", ["index", "snapshots", "packs"])
def test_no_loss_goes_unseen(source: RealBox, box: RealBox, tmp_path: Path, folder: str) -> None:
    place = tmp_path / "place"
    source.client.create_backup(str(place))
    for path in sorted((place / folder).rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        ran = source.run("backup", "verify", "--from", str(place))
        assert ran.returncode == 1, path
        with pytest.raises(PachyboxError):
            box.client.restore_backup(to=str(place))
        assert list(box.client.list_repo(type="all")) == []
        path.write_bytes(data)
    assert source.run("backup", "verify", "--from", str(place)).returncode == 0


def test_prune_keeps_what_is_kept_whole(box: RealBox, tmp_path: Path) -> None:
    c, place = box.client, tmp_path / "place"
    c.create_repo("r")
    for i in range(4):
        with c.put("r@master") as put:
            put.data("/same", LARGE[: 1 << 20])
            put.data("/changes", os.urandom(2 << 20))
            for n in range(20):
                put.data(f"/small/{i}/{n}", os.urandom(2000))
        if i:
            c.squash_commit_set(next(iter(c.list_commit("r", number=2))).parent.rpartition("@")[2])
        c.create_backup(str(place))
    whole = size_of(place)
    dry = c.prune_backup("last 1", str(place), dry_run=True)
    assert len(dry["removed"]) == 3
    assert size_of(place) == whole
    done = c.prune_backup("last 1", str(place))
    assert [one["id"] for one in done["removed"]] == [one["id"] for one in dry["removed"]]
    assert int(done["bytes"]) > 5 << 20
    assert size_of(place) < 4 << 20
    assert not c.verify_backup(str(place), share=1.0).get("problems")
    c.put_file("r@master:/new", b"x")
    c.create_backup(str(place))
    again = revived(box, place, tmp_path / "again")
    try:
        assert again.client.get_file("r@master:/same") == LARGE[: 1 << 20]
        assert again.client.get_file("r@master:/changes") == c.get_file("r@master:/changes")
        assert again.client.get_file("r@master:/small/3/7") == c.get_file("r@master:/small/3/7")
    finally:
        again.stop()


def test_boxes_that_share_a_place_do_not_count_for_each_other(
    source: RealBox, box: RealBox, tmp_path: Path
) -> None:
    place = str(tmp_path / "place")
    box.client.create_repo("other")
    mine = [box.client.create_backup(place).id for _ in range(2)]
    others = [source.client.create_backup(place).id for _ in range(2)]
    source.client.prune_backup("last 1", place)
    assert [one.id for one in source.client.list_backup(place)] == [mine[1], others[1]]
    assert not source.client.verify_backup(place, share=1.0).get("problems")


def test_a_directory_with_other_files_is_not_restored_into(source: RealBox, tmp_path: Path) -> None:
    place, home = str(tmp_path / "place"), tmp_path / "mine"
    source.client.create_backup(place)
    home.mkdir()
    (home / "letter").write_text("dear")
    ran = source.run("backup", "restore", "--from", place, "--home", str(home))
    assert ran.returncode == 1
    assert "holds other files" in ran.stderr
    assert [path.name for path in home.iterdir()] == ["letter"]
    ran = source.run("backup", "restore", "--from", place, "--home", str(source.home))
    assert ran.returncode == 1
    assert "is running" in ran.stderr


def test_prune_takes_nothing_when_what_is_kept_is_damaged(source: RealBox, tmp_path: Path) -> None:
    place = tmp_path / "place"
    for _ in range(2):
        source.client.create_backup(str(place))
    lost = packs(place)[-1]
    shutil.move(lost, tmp_path / "lost")
    files = sorted(place.rglob("*"))
    with pytest.raises(Corrupt):
        source.client.prune_backup("last 1", str(place))
    assert sorted(place.rglob("*")) == files


def test_a_prune_waits_for_a_backup_and_says_who_is_at_work(box: RealBox, tmp_path: Path) -> None:
    place, c = tmp_path / "place", box.client
    c.create_backup(str(place))
    lock = place / "locks" / ("0" * 32)
    mine = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    owner = {"host": os.uname().nodename, "boot": boot, "pid": os.getpid(), "began": mine}
    owner |= {"namespace": str(Path("/proc/self/ns/pid").readlink()), "alone": True, "time": 0}
    lock.write_text(json.dumps(owner))
    result: list[object] = []
    thread = threading.Thread(target=lambda: result.append(c.create_backup(str(place))))
    thread.start()
    thread.join(1.0)
    assert thread.is_alive()
    lock.unlink()
    thread.join(60)
    assert result
    lock.write_text(json.dumps({**owner, "began": "1"}))  # its process is gone
    assert c.prune_backup("last 1", str(place))["kept"]
    assert not lock.exists()


@pytest.mark.parametrize("words", ["--from {0}/none", "20200101T --from {0}/place"])
def test_what_is_not_there_makes_no_data_directory(
    source: RealBox, tmp_path: Path, words: str
) -> None:
    source.client.create_backup(str(tmp_path / "place"))
    home = tmp_path / "new"
    ran = source.run("backup", "restore", *words.format(tmp_path).split(), "--home", str(home))
    assert ran.returncode == 1
    assert "pachybox backup" in ran.stderr
    assert not home.exists()


def test_the_key_of_secrets_comes_along_by_a_passphrase(box: RealBox, tmp_path: Path) -> None:
    place = str(tmp_path / "place")
    secret = {"metadata": {"name": "s"}, "stringData": {"k": "wonderful"}}
    secret |= {"apiVersion": "v1", "kind": "Secret"}
    box.client.create_secret(json.dumps(secret))
    ran = box.run("backup", "create", place)
    assert "secret.key" in ran.stderr
    box.env["PACHYBOX_BACKUP_PASSWORD"] = "a long passphrase"
    box.cli("backup", "create", "--with-key", place)
    key = (box.home / "secret.key").read_bytes()
    for path in Path(place).rglob("*"):
        assert not path.is_file() or key not in path.read_bytes()
    said = [p.read_bytes() for p in box.home.rglob("*") if p.is_file()]
    assert not any(b"a long passphrase" in text for text in said)
    new = tmp_path / "new"
    box.env["PACHYBOX_BACKUP_PASSWORD"] = "another passphrase"
    ran = box.run("backup", "restore", "--from", place, "--home", str(new))
    assert ran.returncode == 1
    assert "passphrase" in ran.stderr
    assert not new.exists()
    box.env["PACHYBOX_BACKUP_PASSWORD"] = "a long passphrase"
    box.cli("backup", "restore", "--from", place, "--home", str(new))
    assert (new / "secret.key").read_bytes() == key
    assert (new / "secret.key").stat().st_mode & 0o777 == 0o600
    del box.env["PACHYBOX_BACKUP_PASSWORD"]
    ran = box.run("backup", "restore", "--from", place, "--home", str(tmp_path / "keyless"))
    assert "1 secrets cannot be opened" in ran.stderr


def test_to_a_bucket_and_back(tmp_path: Path) -> None:
    """The bucket is a branch of another box, which is as good an S3 as any."""
    away = RealBox(tmp_path / "away").start()
    away.client.create_repo("backups")
    env = {
        "AWS_ENDPOINT_URL": away.client.status().address,
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
    }
    place = "s3://master.backups/of/this"
    sender = RealBox(tmp_path / "sender", env).start()
    try:
        filled(sender)
        with pytest.raises(NotFound, match=r"no bucket master\.backups"):
            sender.client.create_backup(place)
        away.client.create_branch("backups@master")
        first = sender.client.create_backup(place)
        sender.client.put_file("texts@master:/a", b"other\n")
        sender.client.wait_commit("joined@master")
        sender.client.create_backup(place)
        assert next(one.id for one in sender.client.list_backup(place)) == first.id
        sender.client.prune_backup("last 1", place)
        assert not sender.client.verify_backup(place, share=1.0).get("problems")
        sender.cli("backup", "restore", "--from", place, "--home", str(tmp_path / "again"))
        again = RealBox(tmp_path / "again").start()
        assert known(again) == known(sender)
        again.stop()
        names = [f.path for f in away.client.walk_file("backups@master:/")]
        assert "/of/this/pachybox-backup.json" in names
        away.stop()
        with pytest.raises(NotReady, match="cannot be"):
            sender.client.create_backup(place)
    finally:
        sender.stop()
        away.stop()


def test_the_box_backs_itself_up_and_keeps_what_it_is_to_keep(tmp_path: Path) -> None:
    place = tmp_path / "place"
    settings = f'backup_to = "{place}"\nbackup_schedule = "@every 1s"\nbackup_keep = "last 2"\n'
    box = RealBox(tmp_path / "home", settings=settings).start()
    try:
        ids: set[str] = set()

        def several() -> bool:
            if (place / "snapshots").is_dir():
                ids.update(one.id for one in box.client.list_backup())
            return len(ids) >= 4

        eventually(several, "four backups")
        assert len(list(box.client.list_backup())) <= 3  # one may be removed at this moment
        kinds = {e.kind for e in box.client.events(kinds=["backup."])}
        assert kinds == {"backup.done"}
        place.rename(tmp_path / "unmounted")
        eventually(
            lambda: any(e.kind == "backup.failed" for e in box.client.events(kinds=["backup."])),
            "it tells that there is no place",
        )
        assert any("backup" in warning for warning in box.client.status().warnings)
    finally:
        box.stop()
