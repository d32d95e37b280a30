"""``pachybox run datum`` and ``pachybox dev`` as a developer uses them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import images
from tests.boxes import RealBox, eventually, processes
from tests.flow.shell import Run, refused, runner, succeeded

SPEC = """\
pipeline: {name: upper}
input: {pfs: {repo: words, glob: "/*"}}
transform: {cmd: [sh, main.sh]}
"""
CODE = """\
echo "at work on $words"
tr a-z A-Z < $words > /pfs/out/$(basename $words)
"""


@pytest.fixture(scope="module")
def words(shared_box: RealBox) -> RealBox:
    """A box with a repo of ten files."""
    shared_box.client.create_repo("words")
    with shared_box.client.put("words@master") as put:
        for i in range(10):
            put.data(f"/w{i}", f"word {i}\n".encode())
    return shared_box


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The developer's directory: a spec, and the source in ``src``."""
    place = tmp_path / "here"
    (place / "src").mkdir(parents=True)
    (place / "upper.yaml").write_text(SPEC)
    (place / "src" / "main.sh").write_text(CODE)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def run(
    words: RealBox,
    here: Path,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    made = runner(words, tmp_path / "config", capfdbinary, monkeypatch)
    monkeypatch.chdir(here)
    return made


class Dev:
    """``pachybox dev`` as a process of its own, and what it has printed."""

    def __init__(self, box: RealBox, here: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pachybox.cli", "dev", *words],
            cwd=here, env=box.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._seen = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)  # as they come

    def until(self, text: str) -> list[str]:
        """Wait for a line with ``text`` after those waited for before; the lines up to it."""

        def look() -> list[str]:
            for number in range(self._seen, len(self.lines)):
                if text in self.lines[number]:
                    found = self.lines[self._seen : number + 1]
                    self._seen = number + 1
                    return found
            if self.process.poll() is not None:
                raise AssertionError(f"it ended without {text!r}: {''.join(self.lines)}")
            return []

        return eventually(look, f"{text!r} in {self.lines[self._seen :]}", 20)

    def key(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()  # again, if need be

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


@pytest.fixture
def dev(words: RealBox, here: Path) -> Iterator[Dev]:
    """The loop at work on src, its first run over."""
    made = Dev(words, here, "upper.yaml", "--src", "src")
    try:
        made.until("watching")
        made.until("3 ok")
        yield made
    finally:
        made.close()
    eventually(lambda: nothing_left(words), "the session is gone")


def nothing_left(box: RealBox) -> bool:
    return not list((box.home / "work").glob("trial-*"))


def test_run_datum_shows_datums_lines_and_the_end(run: Run) -> None:
    out = succeeded(run("run datum -f upper.yaml --src src"))
    lines = out.splitlines()
    assert lines[0] == "upper: 3 of 10 datums, source at /source"
    assert "  /w3 | at work on /pfs/words/w3" in lines
    assert any(line.startswith("  ok      /w6  1 file, 7B, ") for line in lines)
    assert lines[-1] == "3 ok"


def test_run_datum_for_programs_and_with_outputs_saved(run: Run, here: Path) -> None:
    ran = run("run datum -f upper.yaml --src src --datum /w1,x --raw".replace(",x", ""))
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert [r["info"]["state"] for r in records] == ["SUCCESS"]
    assert ran.err == "at work on /pfs/words/w1\n"
    ran = run("run datum -f upper.yaml --src src -n 0 --save saved")
    assert ran.status == 0
    assert "10 files" in ran.err
    assert (here / "saved" / "w7").read_text() == "WORD 7\n"


def test_run_datum_says_with_its_status_how_it_went(run: Run, here: Path) -> None:
    (here / "src" / "main.sh").write_text("exit 7\n")
    failed = run("run datum -f upper.yaml --src src -n 2")
    assert failed.status == 1
    assert "  failed  /w5  exit status 7, " in failed.out
    assert failed.out.endswith("2 failed\n")
    assert "'/none'" in refused(run("run datum -f upper.yaml --datum /none"))
    assert "nowhere does not exist" in refused(run("run datum -f upper.yaml --src nowhere"))
    (here / "upper.yaml").write_text(SPEC.replace("glob", "blob"))
    assert "upper.yaml:2" in refused(run("run datum -f upper.yaml --src src"))


def test_a_save_is_run_and_compared(dev: Dev, here: Path) -> None:
    main = here / "src" / "main.sh"
    main.write_text(CODE.replace("A-Z", "n-za-m"))
    shown = dev.until("after the save")
    assert [line for line in shown if "1 file differs from the last run's" in line]
    assert "        -WORD 0\n" in shown
    after = float(shown[-1].split(", ")[1].split("s ")[0])
    assert after < 5, shown  # on a machine with nothing else to do it is a tenth of a second
    main.write_text("exit 1")
    assert "3 failed" in dev.until("after the save")[-1]
    fresh = here / "src" / ".main.sh.swp"
    fresh.write_text("an editor's own")
    (here / "src" / "__pycache__").mkdir()
    (here / "src" / "__pycache__" / "x.py").write_text("")
    main.rename(here / "src" / "other.sh")  # as a whole, as editors do
    (here / "upper.yaml").write_text(SPEC.replace("main.sh", "other.sh").replace("/*", "/w[12]"))
    assert "upper: 2 datums, source at /source\n" in dev.until("2 failed")
    (here / "upper.yaml").write_text("pipeline: {")
    dev.until("pachybox: upper.yaml")
    (here / "upper.yaml").write_text(SPEC)
    main.write_text(CODE)
    assert "3 ok" in dev.until("after the save")[-1]
    assert dev.end(signal.SIGINT) == 0


def test_a_save_in_mid_run_begins_anew(dev: Dev, here: Path) -> None:
    main = here / "src" / "main.sh"
    main.write_text("echo asleep; sleep 600")
    dev.until("asleep")
    began = time.monotonic()
    main.write_text(CODE)
    dev.until("3 ok")
    assert time.monotonic() - began < 10


def test_what_was_tried_is_applied_when_told(
    dev: Dev, words: RealBox, run: Run, here: Path
) -> None:
    assert not [p for p in words.client.list_pipeline() if p.name == "upper"]
    (here / "upper.yaml").write_text(SPEC.replace("main.sh", f"{here}/src/main.sh"))
    dev.until("3 ok")
    dev.key("a")
    dev.until("made pipeline upper, version 1")
    words.client.wait_commit("upper@master")
    assert words.client.get_file("upper@master:/w4") == b"WORD 4\n"
    dev.key("")
    dev.until("as the last run's")
    dev.key("q")
    assert dev.process.wait(10) == 0
    out = succeeded(run("run datum -f upper.yaml --src src"))
    assert "; as the pipeline's\n" in out
    once = run("dev upper.yaml --src src --apply --reprocess")
    assert once.status == 0
    assert "updated pipeline upper, version 2" in once.err
    (here / "src" / "main.sh").write_text("exit 1")
    assert run("dev upper.yaml --src src --apply").status == 1
    assert words.client.inspect_pipeline("upper").version == 2


def test_a_client_that_is_killed_leaves_nothing(dev: Dev, words: RealBox, here: Path) -> None:
    (here / "src" / "main.sh").write_text("echo asleep; sleep 4321")
    dev.until("asleep")
    assert processes("sleep 4321")
    dev.end(signal.SIGKILL)
    eventually(lambda: nothing_left(words), "the session is gone")
    assert not processes("sleep 4321")


def test_a_box_that_dies_ends_the_loop_and_starts_clean(box: RealBox, here: Path) -> None:
    box.client.create_repo("words")
    box.client.put_file("words@master:/w0", b"word\n")
    (here / "src" / "main.sh").write_text("echo asleep; sleep 5432")
    dev = Dev(box, here, "upper.yaml", "--src", "src")
    try:
        dev.until("asleep")
        box.kill()
        assert dev.process.wait(10) == 1
        dev.close()
        assert "pachybox: " in dev.lines[-1]
    finally:
        dev.close()
    box.start()
    assert nothing_left(box)
    eventually(lambda: not processes("sleep 5432"), "what ran is gone")


BUILD = """\
pipeline: {name: shout}
input: {pfs: {repo: words, glob: "/*"}}
transform: {build: {language: shell, path: code}}
"""


def test_source_that_is_built(words: RealBox, here: Path) -> None:
    """Built once for each change of what building reads; applied with its source committed."""
    (here / "shout.yaml").write_text(BUILD)
    (here / "code").mkdir()
    main, build = here / "code" / "main.sh", here / "code" / "build.sh"
    main.write_text('cat /pfs/build/sign; tr a-z A-Z < "$words" > /pfs/out/$(basename "$words")')
    build.write_text("echo building; echo '!' > /pfs/out/sign")
    dev = Dev(words, here, "shout.yaml")
    try:
        shown = dev.until("3 ok")
        assert "shout_build: 1 datum\n" in shown
        assert any(line.endswith("| building\n") for line in shown)
        assert "shout: 3 of 10 datums\n" in shown
        assert "  /w0 | !\n" in shown
        dev.until("after the save") if "watching" not in "".join(dev.lines) else None
        build.write_text("echo again; echo '?' > /pfs/out/sign")
        assert "  /w6 | ?\n" in dev.until("after the save")
        dev.key("a")
        dev.until("made pipeline shout, version 1")
        words.client.wait_commit("shout@master")
        assert words.client.get_file("shout_source@master:/main.sh").startswith(b"cat")
        dev.key("r")
        assert len([line for line in dev.until("after the save") if "ok " in line]) == 3
    finally:
        dev.close()


IN_IMAGE = """\
pipeline: {{name: odd}}
input: {{pfs: {{repo: words, glob: "/*"}}}}
transform: {{image: "{image}", cmd: [sh, main.sh]}}
"""


def test_a_container_goes_on_with_the_saved_source(
    words: RealBox, here: Path, odd_image: str
) -> None:
    """The source is shown over the image's WORKDIR, as the image's user, in one container."""
    (here / "odd.yaml").write_text(IN_IMAGE.format(image=odd_image))
    main = here / "src" / "main.sh"
    main.write_text("echo $(pwd) $(id -un) $GREETING; touch x")
    label = f"label=org.pachybox.home={words.home}"
    dev = Dev(words, here, "odd.yaml", "--src", "src")

    def containers() -> str:
        return images.run("ps", "--all", "--quiet", "--filter", label).stdout

    try:
        shown = dev.until("3 failed")
        assert "odd: 3 of 10 datums, source at /srv\n" in shown
        assert "  /w0 | /srv app hello\n" in shown
        one = containers()
        assert len(one.split()) == 1
        main.write_text("echo saved; cp $words /pfs/out/")
        assert "  /w3 | saved\n" in dev.until("after the save")
        main.write_text("echo asleep; sleep 600")
        dev.until("asleep")
        assert containers() == one
        dev.end(signal.SIGKILL)
        eventually(lambda: not containers(), "the container is gone")
        eventually(lambda: nothing_left(words), "the session is gone")
    finally:
        dev.close()
