"""Every way to present inputs, on every runner that says it can."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pachybox.pps.runners.base import DatumTask, Layout
from tests.contract.erofs_image import small_image

if TYPE_CHECKING:
    from tests.contract.conftest import Lab

_ATTACKS = """
for f in /pfs/in/small /pfs/in/d/big; do
    echo x > $f; echo x >> $f; rm -f $f; chmod 666 $f; touch $f; mv $f /pfs/in/moved
    mount -o remount,rw,bind $f; umount $f; umount -l $f
done
mkdir /pfs/in/new; touch /pfs/in/new; rmdir /pfs/in/d; mkdir /pfs/more; echo x > /pfs/more
umount /pfs/out; umount -l /pfs; mount -o remount,rw /pfs
"""


def task_with(lab: Lab, layout: Layout) -> DatumTask:
    made = lab.task()
    return DatumTask(made.id, layout, made.out, made.log, env=made.env)


def stored(lab: Lab, content: bytes) -> Path:
    path = lab.home / "object"
    path.write_bytes(content)
    path.chmod(0o444)
    return path


def test_small_files_travel_and_large_ones_are_linked(lab: Lab) -> None:
    blob = stored(lab, b"big\n" * 100_000)
    names = ("in/small", "in/empty", "in/ünï \n☃", "in/d/e/deep")
    layout = Layout(
        dirs=("in", "in/d", "in/d/e", "two"),
        files=tuple((name, name.encode() * (name != "in/empty")) for name in names),
        links=(("in/d/big", str(blob)), ("two/same", str(blob))),
    )
    ran = lab.sh("cp -r $PFS/in $PFS/two /pfs/out/; ls -a $PFS", task_with(lab, layout))
    assert ran.result.ok, (ran.result, ran.lines)
    for name in names:
        assert ran.out(name) == name.encode() * (name != "in/empty")
    assert ran.out("in/d/big") == ran.out("two/same") == blob.read_bytes()
    assert ran.lines == [".", "..", "in", "out", "two"]


def test_a_thousand_files_and_links(lab: Lab) -> None:
    blob = stored(lab, b"x")
    layout = Layout(
        dirs=("in",),
        files=tuple((f"in/f{n}", b"y" * n) for n in range(1000)),
        links=tuple((f"in/l{n}", str(blob)) for n in range(500)),
    )
    ran = lab.sh("cat $PFS/in/f* | wc -c; cat $PFS/in/l* | wc -c", task_with(lab, layout))
    assert ran.lines == [str(999 * 500), "500"]


def test_whatever_is_presented_cannot_be_changed(lab: Lab) -> None:
    if not lab.runner.presents.links:
        pytest.skip("this way's inputs are copies")
    blob = stored(lab, b"precious")
    layout = Layout(("in", "in/d"), (("in/small", b"small"),), (("in/d/big", str(blob)),))
    end = "cat /pfs/in/small /pfs/in/d/big > /pfs/out/seen; ls /pfs/in /pfs > /pfs/out/names"
    ran = lab.sh(_ATTACKS + end, task_with(lab, layout))
    assert ran.result.ok
    assert ran.out("seen") == b"smallprecious"
    assert ran.out("names") == b"/pfs:\nin\nout\n\n/pfs/in:\nd\nsmall\n"
    assert blob.read_bytes() == b"precious"
    assert blob.stat().st_mode & 0o777 == 0o444


def test_an_image_is_shown_with_links_on_it(lab: Lab) -> None:
    if not lab.runner.presents.image:
        pytest.skip("this way shows no images")
    blob = stored(lab, b"linked\n")
    image = lab.home / "image"
    image.write_bytes(small_image(b"from the image\n"))
    layout = Layout(
        dirs=("extra",),
        files=(("extra/f", b"beside\n"),),
        links=(("data/big", str(blob)),),
        image=image,
    )
    worker = lab.worker(["sh", "-c", "ls -a /pfs; cat /pfs/*/*; echo x > /pfs/data/a.txt"])
    for _ in range(2):
        task = task_with(lab, layout)
        assert worker.run(task).exit_code in (1, 2)  # as the shell has it
        said = task.log.read_text()
        for words in ("from the image", "linked", "beside", "Read-only file system"):
            assert words in said
        assert ".image" not in said
    assert not any(str(image) in line for line in Path("/proc/mounts").read_text().splitlines())


def test_an_image_that_is_none_fails_the_datum_with_its_name(lab: Lab) -> None:
    image = lab.home / "image"
    image.write_bytes(b"\0" * 8192)
    worker = lab.worker(["true"])
    result = worker.run(task_with(lab, Layout(image=image)))
    assert not result.ok
    assert str(image) in result.reason
    assert worker.run(lab.task()).ok


@pytest.mark.parametrize(
    "layout",
    [
        Layout(links=(("in/x", "/no/such/file"),), dirs=("in",)),
        Layout(files=(("nowhere/x", b"x"),)),
        Layout(tree=Path("/no/such/tree")),
    ],
)
def test_a_layout_that_cannot_be_made_fails_the_datum_alone(lab: Lab, layout: Layout) -> None:
    worker = lab.worker(["true"])
    result = worker.run(task_with(lab, layout))
    assert not result.ok
    assert result.reason.startswith("cannot set up the datum: ")
    assert "/x" in result.reason or "/no/such" in result.reason
    assert worker.run(lab.task()).ok


def test_nothing_of_a_datum_is_seen_by_the_next(lab: Lab) -> None:
    blob = stored(lab, b"x")
    worker = lab.worker(["sh", "-c", "ls -AR $PFS; cat $PFS/*/only* || true; touch $PFS/out/a"])
    for name in ("one", "two"):
        layout = Layout(
            (name,), ((f"{name}/only{name}", b"mine\n"),), ((f"{name}/only-l", str(blob)),)
        )
        task = task_with(lab, layout)
        assert worker.run(task).ok
        other = {"one": "two", "two": "one"}[name]
        assert f"only{other}" not in task.log.read_text()
        assert os.listdir(task.out) == ["a"]


def test_a_full_disk_harms_the_datum_alone(sealed: Lab) -> None:
    lab = sealed
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    task = lab.task()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", task.out], check=True)
    try:
        lab.own(task.out)
        worker = lab.worker(["sh", "-c", "head -c 5000000 /dev/zero > /pfs/out/x"])
        result = worker.run(task)
        assert result.exit_code
        assert lab.image or "No space left" in task.log.read_text()  # busybox: "I/O error"
        assert worker.run(lab.task()).ok
    finally:
        subprocess.run(["umount", "-l", task.out], check=True)
