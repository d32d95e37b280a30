"""Spouts: programs that never end and bring data in, by a pipe of tar or by the API."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pachybox.client.ingest_values import IngestInfo
from pachybox.errors import NotFound, PachyboxError, Refused
from tests import images
from tests.boxes import RealBox, eventually, free_port

PYTHON = "/usr/bin/python3" if os.geteuid() else sys.executable

HEAD = """
import io, os, sys, tarfile, time
def entry(tar, name, content, **more):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))
def archive(pipe, *entries):
    with tarfile.open(fileobj=pipe, mode="w|") as tar:
        for one in entries:
            entry(tar, *one)
"""
REST = """
print("done", flush=True)
while True:
    time.sleep(1000)
"""


def spec(name: str, program: str, **more: Any) -> str:
    transform = {"cmd": [PYTHON, "-c", HEAD + program], **more.pop("transform", {})}
    return json.dumps(
        {"pipeline": {"name": name}, "transform": transform, "spout": more.pop("spout", {}), **more}
    )


def commits(box: RealBox, branch: str) -> int:
    try:
        return sum(1 for _ in box.client.list_commit(branch))
    except NotFound:
        return 0


def content(box: RealBox, path: str) -> str:
    try:
        return box.client.get_file(path).decode()
    except NotFound:
        return ""


def ingest(box: RealBox, name: str) -> IngestInfo:
    return box.client.inspect_ingest(name)


def state(box: RealBox, name: str) -> tuple[str, str]:
    info = box.client.inspect_pipeline(name)
    return info.state.removeprefix("PIPELINE_"), info.reason


def said(box: RealBox, name: str) -> list[str]:
    return [line.message for line in box.client.logs(name)]


def processes(mark: str) -> list[int]:
    """Those that have ``mark`` among their arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue  # it ended meanwhile
        if mark.encode() in words:
            found.append(int(entry.name))
    return found


def test_a_writer_that_opens_and_closes_rapidly_loses_nothing(shared_box: RealBox) -> None:
    box = shared_box
    program = """
for n in range(200):
    with open("/pfs/out", "wb") as pipe:
        archive(pipe, (f"{n:03}", b"%04d" % n))
"""
    box.client.create_pipelines(spec("rapid", program + REST))
    eventually(lambda: ingest(box, "rapid").commits == 200, "200 commits")
    assert commits(box, "rapid@master") == 200
    assert [f.path for f in box.client.list_file("rapid@master:/")] == [
        f"/{n:03}" for n in range(200)
    ]
    info = ingest(box, "rapid")
    assert (info.kind, info.state, info.to, info.records) == (
        "spout",
        "running",
        "rapid@master",
        200,
    )
    assert sum(info.rates) > 0
    assert list(box.client.list_job("rapid")) == []
    assert state(box, "rapid") == ("RUNNING", "")
    row = box.cli("list", "pipeline", "rapid").splitlines()[-1].split()
    assert row[:3] == ["rapid", "1", "none"]


def test_archives_back_to_back_are_a_commit_each_and_files_grow(shared_box: RealBox) -> None:
    box = shared_box
    program = """
link = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
with open("/pfs/out", "wb") as pipe:
    archive(pipe, ("./log", b"1\\n"), ("log", b"2\\n"), ("d/other", b"x"))
    pipe.write(bytes(512 * 7))
    with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        entry(tar, "log", b"3\\n")
        entry(tar, "to/passwd", b"", **link)
        entry(tar, "../up", b"above")
        entry(tar, "d/" + "long" * 50, b"long")
os.system("cd /tmp && mkdir -p spout-$$ && cd spout-$$ && echo 4 > log && tar cf /pfs/out log; "
          "cd .. && rm -r spout-$$")
"""
    for name, overwrite in (("grows", False), ("replaces", True)):
        box.client.create_pipelines(spec(name, program + REST, spout={"overwrite": overwrite}))
    for name, log in (("grows", "1\n2\n3\n4\n"), ("replaces", "4\n")):
        eventually(lambda n=name: commits(box, f"{n}@master") == 3, "three commits")
        assert content(box, f"{name}@master:/log") == log
        before = "1\n2\n" if name == "grows" else "2\n"
        assert content(box, f"{name}@master.1:/log") == before
        assert content(box, f"{name}@master:/d/{'long' * 50}") == "long"
        dead = [f.path for f in box.client.walk_file(f"{name}@dead-letters:/") if not f.is_dir]
        assert [path.partition("-")[2] for path in dead] == [
            "0/to/passwd", "0/to/passwd.reason.json", "1/up", "1/up.reason.json",
        ]  # fmt: skip
        assert content(box, f"{name}@dead-letters:{dead[2]}") == "above"
        reason = json.loads(content(box, f"{name}@dead-letters:{dead[1]}"))["reason"]
        assert reason == "a symbolic link to /etc/passwd, not a file"
        assert ingest(box, name).dead_letters == 2


def test_what_has_no_place_becomes_dead_letters_and_an_open_commit_is_waited_for(
    shared_box: RealBox,
) -> None:
    box = shared_box
    program = """
with open("/pfs/out", "wb") as pipe:
    archive(pipe, ("a", b"1"))
    archive(pipe, ("a/b", b"2"), ("at", b"7"))
    archive(pipe, ("x", b"3"), ("x/y", b"4"))
    archive(pipe, ("last", b"5"))
while True:
    with open("/pfs/out", "wb") as pipe:
        archive(pipe, ("more", b"x"))
    time.sleep(0.05)
"""
    box.client.create_pipelines(spec("placed", program, spout={"marker": "at"}))
    eventually(lambda: content(box, "placed@master:/last") == "5", "the stream goes on")
    files = [f.path for f in box.client.list_file("placed@master:/")]
    assert [path for path in files if path != "/more"] == ["/a", "/last"]
    dead = [f.path for f in box.client.walk_file("placed@dead-letters:/") if not f.is_dir]
    assert [path.partition("-")[2] for path in dead if not path.endswith(".json")] == [
        "0/a/b", "0/x", "1/x/y",
    ]  # fmt: skip
    assert content(box, "placed@marker:/at") == "7"
    assert "collision" in ingest(box, "placed").error
    commit = box.client.start_commit("placed@master")
    eventually(lambda: "open commit" in ingest(box, "placed").reason, "why it waits")
    assert ingest(box, "placed").pending > 0
    box.client.finish_commit(f"placed@{commit}")
    before = commits(box, "placed@master")
    eventually(lambda: commits(box, "placed@master") > before, "it goes on")
    box.client.delete_pipeline("placed")


COUNT = """
first = int(open("/pfs/at").read()) + 1 if os.path.exists("/pfs/at") else 1
print("from", first, flush=True)
for n in range(first, 1_000_000):
    with open("/pfs/out", "wb") as pipe:
        archive(pipe, ("log", b"%d\\n" % n), ("at", b"%d" % n))
    time.sleep(0.005)
"""


def counted(box: RealBox, name: str = "count") -> int:
    """How far the counting spout has come; all before is there, each once."""
    log = content(box, f"{name}@master:/log").splitlines()
    assert log == [str(n) for n in range(1, len(log) + 1)]
    return len(log)


def froms(box: RealBox) -> list[int]:
    """Where each life of the counting spout began."""
    return [int(line.split()[1]) for line in said(box, "count") if line.startswith("from")]


def further(box: RealBox) -> int:
    """Wait until it has come further."""
    before = counted(box)
    eventually(lambda: counted(box) > before + 5, f"more than {before}: {state(box, 'count')}", 30)
    return before


def killed(mark: str) -> None:
    """Kill what has ``mark`` in its words; with one, others may end."""
    for pid in processes(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_whatever_is_killed_what_is_written_with_its_marker_comes_once(box: RealBox) -> None:
    box.client.create_pipelines(spec("count", COUNT + "#mark", spout={"marker": "at"}))
    mark = HEAD + COUNT + "#mark"

    def next_life(kill: Callable[[], object]) -> None:
        further(box)
        before = len(froms(box))
        kill()
        eventually(lambda: len(froms(box)) > before, f"another life: {state(box, 'count')}", 30)

    next_life(lambda: killed(mark))
    next_life(lambda: os.kill(ingest(box, "count").pid, signal.SIGKILL))
    box.kill()
    eventually(lambda: not processes(mark), "the program goes with the box")
    box.start()
    reached = further(box)
    assert int(content(box, "count@marker:/at")) >= reached
    eventually(lambda: len(froms(box)) >= 4, "the life after the box's is told of")
    assert froms(box) == sorted(froms(box))
    # reprocessed, it forgets where it was; else it goes on from there
    box.client.create_pipelines(spec("count", COUNT + "#2", spout={"marker": "at"}), update=True)
    further(box)
    assert not processes(mark)
    box.client.create_pipelines(
        spec("count", COUNT + "#3", spout={"marker": "at"}), update=True, reprocess=True
    )
    eventually(lambda: froms(box)[-1] == 1, "it begins from the beginning")


def test_a_torn_archive_is_never_seen_and_a_program_that_ends_comes_back(box: RealBox) -> None:
    program = """
out = io.BytesIO()
archive(out, ("whole", b"1"))
whole = out.getvalue()
torn = whole[:512 + 512] if sys.argv[1] == "torn" else whole + b"x" * 512
with open("/pfs/out", "wb") as pipe:
    pipe.write(whole + torn)
if sys.argv[1] == "torn":
    sys.exit(3)
while sys.argv[1] == "busy":  # something happens in the box all the time
    time.sleep(0.02)
    with open("/pfs/out", "wb") as pipe:
        pipe.write(whole)
import signal  # it takes longer to end than a reader waits before it is started anew
signal.signal(signal.SIGTERM, lambda *_: time.sleep(1.5) or sys.exit())
time.sleep(1000)
"""
    for how in ("torn", "busy", "noise"):
        cmd = [PYTHON, "-c", HEAD + program, how]
        box.client.create_pipelines(
            spec(how, "", transform={"cmd": cmd}, spout={"overwrite": True})
        )
    eventually(lambda: commits(box, "torn@master") >= 2, "two lives")
    eventually(lambda: "exit status 3" in state(box, "torn")[1], "why it crashes")
    assert state(box, "torn")[0] == "CRASHING"
    info = ingest(box, "torn")
    assert info.errors >= 2
    assert info.restarts >= 1
    assert [f.path for f in box.client.list_file("torn@master:/")] == ["/whole"]
    eventually(lambda: "no tar archive" in state(box, "noise")[1], "what it wrote is no tar")
    eventually(lambda: commits(box, "noise@master") >= 2, "its next life, though it ends slowly")
    lines = [line.message for line in box.client.ingest_log("noise")]
    assert not [line for line in lines if "no tar archive" not in line], "no reader without a pipe"


def test_a_spout_stops_pauses_and_goes(box: RealBox) -> None:
    text = spec("count", COUNT + "#life", spout={"marker": "at"})
    mark = HEAD + COUNT + "#life"
    box.client.create_pipelines(text)
    further(box)
    box.client.stop_pipeline("count")
    eventually(lambda: not processes(mark), "it has ended")
    assert ingest(box, "count").state == "stopped"
    assert state(box, "count") == ("PAUSED", "")
    box.client.start_pipeline("count")
    further(box)
    box.client.pause_ingest("count")
    eventually(lambda: not processes(mark), "it has ended")
    eventually(lambda: state(box, "count")[0] == "PAUSED", "its pipeline says so")
    assert "resume ingest count" in state(box, "count")[1]
    assert ingest(box, "count").state == "paused"
    box.stop()
    box.start()
    assert ingest(box, "count").paused
    box.client.resume_ingest("count")
    further(box)
    (before,) = processes(mark)
    box.client.run_ingest("count")
    eventually(lambda: processes(mark) not in ([], [before]), "it is another life")
    further(box)
    with pytest.raises(Refused, match="is a spout, which has no jobs"):
        box.client.run_pipeline("count")
    box.client.delete_pipeline("count")
    eventually(lambda: not processes(mark), "it has ended")
    folder = box.home / "ingest" / "default" / "count"
    eventually(lambda: not folder.exists(), "what it kept is gone")
    with pytest.raises(NotFound):
        ingest(box, "count")
    box.client.create_pipelines(text)
    further(box)
    assert any(line == "from 1" for line in said(box, "count"))


API = """
sys.path.insert(0, sys.argv[1])
from pachybox.client import Client
me = os.environ["PPS_PIPELINE_NAME"] + "@master"
assert "PACH_JOB_ID" not in os.environ and "PACH_OUTPUT_COMMIT_ID" not in os.environ
print(open(os.environ["PACH_CONFIG"]).read(), flush=True)
client = Client()
with client.put(me) as put:
    put.data("/one", b"1")
client.start_commit(me)
client.put_file(me + ":/half", b"half")
print("half done", flush=True)
if not os.path.exists(sys.argv[2]):
    open(sys.argv[2], "w").close()
    os._exit(1)
time.sleep(1000)
"""


def test_a_program_writes_by_the_api_and_leaves_no_commit_open(
    tmp_path: Path, box: RealBox
) -> None:
    box.stop()
    settings = (box.home / "box.toml").read_text()
    (box.home / "box.toml").write_text(settings + 'token = "quite-secret"\n')
    box.start()
    once = tmp_path / "once"
    root = str(Path(__file__).parents[2])
    cmd = [PYTHON, "-c", HEAD + API, root, str(once)]
    box.client.create_pipelines(spec("api", "", transform={"cmd": cmd}))
    eventually(lambda: said(box, "api").count("half done") == 2, f"{said(box, 'api')}", 30)
    # the commit that the first life left open is gone; that of the second is there
    found = list(box.client.list_commit("api@master"))
    assert [c.finished is not None for c in found] == [False, True, True]
    config = json.loads("\n".join(said(box, "api")).partition("half")[0])
    context = config["v2"]["contexts"][config["v2"]["active_context"]]
    assert context["pachd_address"] == box.client.status().grpc_address
    assert context["session_token"].startswith("pb_")  # its own, not that of the file
    box.kill()
    box.start()
    eventually(lambda: said(box, "api").count("half done") == 3, "a third life")
    assert sum(c.finished is None for c in box.client.list_commit("api@master")) == 1
    box.client.stop_pipeline("api")
    eventually(
        lambda: all(c.finished for c in box.client.list_commit("api@master")), "none is open"
    )
    info = ingest(box, "api")
    assert info.commits == len(list(box.client.list_commit("api@master"))) == 3


def test_users_reach_the_port_of_a_spout(box: RealBox) -> None:
    inner, outer = free_port(), free_port()
    program = """
import socket
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        with listener.accept()[0] as user, open("/pfs/out", "wb") as pipe:
            archive(pipe, ("said", user.recv(100)))
            user.sendall(b"taken")
"""
    cmd = [PYTHON, "-c", HEAD + program, str(inner)]
    service = {"internal_port": inner, "external_port": outer}
    box.client.create_pipelines(
        spec("port", "", transform={"cmd": cmd}, spout={"service": service})
    )

    def tell() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", outer), 5) as to:
                to.sendall(b"hello")
                return to.recv(100) == b"taken"
        except OSError:
            return False

    eventually(tell, "the program answers", 30)
    eventually(lambda: content(box, "port@master:/said") == "hello", "it is committed")
    other = {"internal_port": free_port(), "external_port": outer}
    with pytest.raises(PachyboxError, match=f"port {outer}"):
        box.client.create_pipelines(spec("two", REST, spout={"service": other}))


def test_what_a_program_prints_for_months_is_kept_in_part(shared_box: RealBox) -> None:
    box = shared_box
    program = 'for n in range(600):\n    print(n, "x" * 50_000, flush=True)\n'
    box.client.create_pipelines(spec("chatty", program + REST))
    eventually(lambda: said(box, "chatty")[-1:] == ["done"], "all is said")
    kept = [int(line.split()[0]) for line in said(box, "chatty")[:-1]]
    assert kept == list(range(kept[0], 600))
    assert kept[0] > 0
    assert sum(f.stat().st_size for f in box.home.glob("logs/*/chatty/spout/*")) < 20 << 20


@pytest.fixture(scope="module")
def podman_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    images.needed()
    made = RealBox(tmp_path_factory.mktemp("spouts")).start()
    yield made
    assert made.stop() == 0


def test_spouts_run_in_containers(podman_box: RealBox, busybox_image: str) -> None:
    box = podman_box
    script = """
n=$(cat /pfs/at 2>/dev/null || echo 0)
mkdir -p /tmp/x && cd /tmp/x
while [ $n -lt 30 ]; do
  n=$((n + 1)); echo $n > log; echo $n > at
  tar cf /pfs/out log at
  if [ $n = 10 ]; then tar cf - log at | head -c 700 > /pfs/out; exit 3; fi
done
grep -c pachd_address $PACH_CONFIG
ls -l $PACH_CONFIG
sleep 1000
"""
    for name, user in (("boxed", ""), ("boxed-app", "app")):
        transform = {"image": busybox_image, "cmd": ["sh"], "stdin": [script]}
        if user:
            transform["user"] = user
        box.client.create_pipelines(spec(name, "", transform=transform, spout={"marker": "at"}))
    for name in ("boxed", "boxed-app"):
        eventually(lambda n=name: commits(box, f"{n}@master") == 30, f"{state(box, name)}", 60)
        assert content(box, f"{name}@master:/log").split() == [str(n) for n in range(1, 31)]
        eventually(lambda n=name: len(said(box, n)) >= 2, "it has looked at its config")
        assert said(box, name)[0] == "1"
        assert said(box, name)[1].startswith("-r--------")
        assert state(box, name) == ("RUNNING", "")
        assert ingest(box, name).restarts == 1
