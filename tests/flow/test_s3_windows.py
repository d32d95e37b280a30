"""How S3's writes become commits, and that what S3 said goes with a backup."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path

from pachybox.client.backup import Backup
from tests.boxes import RealBox, eventually
from tests.s3 import S3


def test_a_window_makes_one_commit_and_one_job(shared_box: RealBox) -> None:
    """Writes that follow each other make one commit, which is finished when none has come for
    the window's length; what follows it runs once. S3 sees each at once."""
    c, s3 = shared_box.client, S3.of(shared_box.client.status().address)
    c.create_repo("win")
    shared_box.cli("create", "branch", "win@master")
    spec = (
        '{"pipeline": {"name": "after-win"}, "input": {"pfs": {"repo": "win", "glob": "/"}},'
        ' "transform": {"cmd": ["true"]}}'
    )
    shared_box.cli("create", "pipeline", "-f", "-", stdin=spec.encode())
    shared_box.cli("update", "branch", "win@master", "--s3-window", "700ms")
    for i in range(5):
        made = s3.raw("PUT", f"/master.win/o{i}", b"%d" % i, {"content-type": "text/x"})
        assert made.status == 200
        assert s3.raw("GET", f"/master.win/o{i}").body == b"%d" % i
    assert s3.raw("DELETE", "/master.win/o4").status == 204
    assert len(s3.raw("GET", "/master.win?list-type=2").texts("Contents")) == 4
    (commit,) = c.list_commit("win")
    assert not commit.finished
    eventually(lambda: all(x.finished for x in c.list_commit("win")), "the window ends")
    eventually(lambda: [j for j in c.list_job("after-win") if j.finished], "the job runs")
    assert len(list(c.list_commit("win"))) == len(list(c.list_job("after-win"))) == 1
    found = s3.raw("HEAD", "/master.win/o1")
    assert found.headers["content-type"] == "text/x"
    shared_box.cli("update", "branch", "win@master", "--s3-window", "off")
    shared_box.cli("update", "branch", "win@master", "--s3-window", "off")
    s3.raw("PUT", "/master.win/p", b"")
    assert len(list(c.list_commit("win"))) == 2
    assert s3.raw("PUT", "/after-win/x", b"").status == 400  # only jobs write there
    refused = shared_box.run("update", "branch", "win@master", "--s3-window", "soon")
    assert refused.returncode == 1
    assert "soon" in refused.stderr
    s3.close()


def test_writes_go_into_a_commit_that_somebody_opened(shared_box: RealBox) -> None:
    """Within ``start commit`` and ``finish commit`` S3 makes no commits of its own."""
    c, s3 = shared_box.client, S3.of(shared_box.client.status().address)
    c.create_repo("open")
    commit = c.start_commit("open@master")
    version = str(commit).rpartition("@")[2]
    for i in range(3):
        assert s3.raw("PUT", f"/open/o{i}", b"x").headers["x-amz-version-id"] == version
    bucket = f"{version}.master.open"
    assert s3.raw("PUT", f"/{bucket}/by-id", b"x").status == 200
    c.finish_commit(f"open@{version}")
    assert s3.raw("PUT", f"/{bucket}/late", b"x").status >= 400
    (one,) = c.list_commit("open")
    assert one.finished
    assert {f.path for f in c.list_file("open@master")} == {"/o0", "/o1", "/o2", "/by-id"}
    s3.close()


def test_what_another_door_writes_has_no_more_of_what_s3_said(shared_box: RealBox) -> None:
    """An overwrite by another door makes the attributes void; a commit that S3 has nothing to
    do with keeps those of what it left alone."""
    c, s3 = shared_box.client, S3.of(shared_box.client.status().address)
    c.create_repo("doors")
    shared_box.cli("create", "branch", "doors@master")
    for key in ("kept", "over"):
        assert s3.raw("PUT", f"/doors/{key}", b"1", {"content-type": "text/x"}).status == 200
    with c.put("doors@master") as put:
        put.data("/over", b"22")
    kept, over = (s3.raw("HEAD", f"/doors/{key}").headers for key in ("kept", "over"))
    assert (kept["content-type"], len(kept["etag"])) == ("text/x", 34)
    assert over["content-type"] != "text/x"
    assert len(over["etag"]) != 34  # nothing that can be taken for an MD5
    s3.close()


def test_a_backup_carries_attributes_and_uploads(shared_box: RealBox, tmp_path: Path) -> None:
    """What S3 said of objects, markers, and the parts of an upload under way."""
    c, s3 = shared_box.client, S3.of(shared_box.client.status().address)
    s3.raw("PUT", "/master.saved")
    headers = {"content-type": "text/x", "x-amz-meta-who": "me" * 300}
    s3.raw("PUT", "/master.saved/a/b", b"1" * 1000, headers)
    s3.raw("PUT", "/master.saved/dir/", b"")
    upload = s3.raw("POST", "/master.saved/whole?uploads").text("UploadId")
    s3.raw("PUT", f"/master.saved/whole?partNumber=3&uploadId={upload}", b"p" * 300_000)
    before = s3.raw("HEAD", "/master.saved/a/b").headers
    c.collect_garbage()
    assert [f["level"] for f in c.fsck()] == ["info"]
    out = io.BytesIO()
    with closing(Backup(str(shared_box.socket))) as backup:
        backup.extract(out)
    s3.close()
    other = RealBox(tmp_path / "other").start()
    try:
        out.seek(0)
        with closing(Backup(str(other.socket))) as backup:
            backup.restore(out)
        s3 = S3.of(other.client.status().address)
        after = s3.raw("HEAD", "/master.saved/a/b").headers
        for name in ("etag", "content-type", "x-amz-meta-who", "last-modified"):
            assert after[name] == before[name]
        assert s3.raw("GET", "/master.saved").texts("Contents/Key") == ["a/b", "dir/"]
        parts = s3.raw("GET", f"/master.saved/whole?uploadId={upload}")
        assert parts.texts("Part/PartNumber") == ["3"]
        other.client.collect_garbage()
        assert [f["level"] for f in other.client.fsck()] == ["info"]
        s3.close()
    finally:
        other.stop()
