"""kill -9 of the daemon, of workers and of user code under a load of ten pipelines."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually
from tests.crash.dag import DAG, Feeder, check_all, check_rows, prepare, replay
from tests.crash.kills import Process, below, runs_user_code

KILLS = ("daemon", "worker", "user code") * 10


def kill_one(box: RealBox, kind: str, draw: random.Random, mark: Path) -> None:
    """Kill one process of a kind, as soon as there is one."""
    assert box.process is not None
    if kind == "daemon":
        box.kill()
        box.start()
        return
    root = box.process.pid

    def done() -> bool:
        found = [p for p in below(root) if runs_user_code(p, mark) == (kind == "user code")]
        return bool(found) and draw.choice(found).kill()

    eventually(done, f"a process of {kind} is killed")


def run_out(box: RealBox) -> None:
    """Wait until every job is over and nothing is left of running them."""

    def over() -> bool:
        return box.client.status().jobs_running == 0 and all(
            job.done for job in box.client.list_job()
        )

    eventually(over, "every job is over", 120)
    eventually(lambda: not leavings(box), f"work/ is empty, not {leavings(box)}", 20)


def leavings(box: RealBox) -> list[str]:
    """What is left in work/, but for the folders that workers have while they live."""
    work = box.home / "work"
    found = [p for p in (*work.iterdir(), *work.glob("trash/*")) if p.name != "trash"]
    if box.process is not None:
        found = [p for p in found if not p.name.startswith(("worker", "."))]
    return [str(p.relative_to(work)) for p in found]


@pytest.mark.parametrize("seed", [int(os.environ.get("PACHYBOX_TEST_SEED") or 1)])
def test_kills_of_anything_change_no_output(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty kills at random moments while commits keep coming: every job ends well, its output
    is what an undisturbed run makes of the same commits, no datum counts twice, nothing is
    stuck or left over."""
    with capsys.disabled():
        print(f" [seed {seed}]", end="", flush=True)
    draw = random.Random(seed)
    kinds = draw.sample(KILLS, len(KILLS))
    box = RealBox(tmp_path / "home", settings="workers = 2\n").start()
    calm = RealBox(tmp_path / "calm", settings="workers = 2\n")
    runs = tmp_path / "runs"
    feeder = Feeder(box, seed)
    seen: set[Process] = set()
    runs.mkdir()
    try:
        prepare(box.client, runs)
        feeder.start()
        for kind in kinds:
            threading.Event().wait(draw.uniform(0.0, 0.3))  # the moment
            assert box.process is not None
            seen |= set(below(box.process.pid))
            kill_one(box, kind, draw, runs)
        feeder.stop()
        run_out(box)
        judge = check_all(box, runs)
        assert judge.counted["SUCCESS"] > 50, judge.counted
        calm.start()
        (tmp_path / "calm runs").mkdir()
        replay(box, calm)
        for name, plan in DAG.items():
            calm.client.create_pipelines(plan.spec(name, tmp_path / "calm runs"))
        run_out(calm)
        for name in DAG:
            wanted = judge.files(box.client, f"{name}@master")
            assert check_calm(calm, name) == wanted, name
        assert box.process is not None
        seen |= set(below(box.process.pid))
        assert box.stop() == 0
        assert [p for p in seen if p.alive()] == []
        assert leavings(box) == []
        check_rows(box.home)
    finally:
        box.kill()
        calm.kill()
        feeder.stop()
    print(judge.counted)


def check_calm(calm: RealBox, name: str) -> dict[str, str]:
    """The files of a pipeline in the box nobody disturbed."""
    found = [f for f in calm.client.walk_file(f"{name}@master:/") if not f.is_dir]
    return {f.path[1:]: calm.client.get_file(f"{name}@master:{f.path}").decode() for f in found}
