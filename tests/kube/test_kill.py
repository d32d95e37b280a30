"""kill -9 of a box whose pipelines run in Pods, at whatever moment: all is done, once, and the
cluster holds what it should. ``PACHYBOX_TEST_KILLS`` says how often, ``PACHYBOX_TEST_SEED`` when.
"""

from __future__ import annotations

import json
import os
import random
import threading
from pathlib import Path

from tests.boxes import RealBox, eventually
from tests.kube.cluster import TestCluster

KILLS = int(os.environ.get("PACHYBOX_TEST_KILLS", "3"))
SCRIPT = "for f in /pfs/in/*; do cat $f $f > /pfs/out/${f##*/}; done; sleep 0.1"


def spec(name: str, repo: str, image: str) -> str:
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": repo, "name": "in", "glob": "/*"}},
            "transform": {"image": image, "cmd": ["sh"], "stdin": [SCRIPT]},
            "parallelism_spec": {"constant": 2},
        }
    )


def test_a_box_that_is_killed_at_any_moment_leaves_nothing_and_loses_nothing(
    cluster: TestCluster, tmp_path: Path
) -> None:
    seed = int(os.environ.get("PACHYBOX_TEST_SEED") or random.randrange(1 << 30))
    print(f"PACHYBOX_TEST_SEED={seed}")
    chance, image = random.Random(seed), cluster.image("python")
    env = {
        "PACHYBOX_RUNNER": "kubernetes",
        "KUBECONFIG": str(cluster.kubeconfig),
        "PACHYBOX_KUBERNETES_NAMESPACE": cluster.namespace,
    }
    box = RealBox(tmp_path / "home", env, "workers = 2\n").start()
    core = cluster.core()

    def of_box(kind: str) -> list[str]:
        found = getattr(core, f"list_namespaced_{kind}")(
            cluster.namespace, label_selector="app.kubernetes.io/managed-by=pachybox"
        )
        return [one.metadata.name for one in found.items]

    try:
        box.client.create_repo("in")
        box.client.create_pipelines(spec("one", "in", image))
        box.client.create_pipelines(spec("two", "one", image))
        wanted = {}
        for number in range(KILLS):
            with box.client.commit("in@master") as commit:
                for n in range(3):
                    path, text = f"/{number}-{n}", f"{number} {n}\n"
                    commit.put_file(path, text.encode())
                    wanted[path] = 4 * text
            threading.Event().wait(chance.uniform(0.0, 3.0))  # the moment
            box.kill()
            box.start()

        def over() -> bool:
            jobs = list(box.client.list_job())
            return len(jobs) >= 2 * KILLS and all(job.done for job in jobs)

        eventually(over, "every job is over", 180)
        assert {job.state for job in box.client.list_job()} == {"JOB_SUCCESS"}
        assert {
            path: box.client.get_file(f"two@master:{path}").decode() for path in wanted
        } == wanted
        assert sum(job.processed for job in box.client.list_job()) == 2 * 3 * KILLS, "once each"
        eventually(lambda: len(of_box("pod")) <= 4, "no more Pods than it has workers")
        assert len(of_box("config_map")) == 2
        box.client.delete_pipeline("two")
        eventually(lambda: len(of_box("config_map")) == 1, "what a pipeline had goes with it")
        assert box.stop() == 0
        assert of_box("pod") == []
    finally:
        box.kill()
