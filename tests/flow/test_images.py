"""Images of pipelines with real podman: pinned, pulled once, waited for while they are missing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pachybox.client import JobInfo
from pachybox.containers.engine import Engine
from pachybox.containers.images import Images
from pachybox.errors import NotFound, Refused
from tests import images
from tests.boxes import RealBox, eventually
from tests.registry import Registry, login

NAME = f"pachybox-test-images-{uuid4().hex[:8]}"  # other runs on this machine have their own
PREFIX = f"localhost/{NAME}"


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[str]:
    """An image with a shell; the names that the tests gave are removed afterwards."""
    yield images.image("busybox")
    found = images.run("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    if mine := [one for one in found if NAME in one and "<none>" not in one]:
        images.run("rmi", "-f", *mine)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks for a login."""
    made = Registry(tmp_path_factory.mktemp("registry"), password=True)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, base: str) -> tuple[str, str]:
    """Two small images that say different things in /word, as archives of the same name."""
    folder = tmp_path_factory.mktemp("made")
    for word in ("one", "two"):
        recipe = f"FROM {base}\nRUN echo {word} > /word; echo {NAME} > /own\n"
        (folder / "Dockerfile").write_text(recipe)
        limits = images.ulimits()
        done = images.run("build", "-q", *limits, "-t", f"{PREFIX}:{word}", str(folder))
        assert done.returncode == 0, done.stderr
    return f"{PREFIX}:one", f"{PREFIX}:two"


def tag(image: str, name: str) -> str:
    assert images.run("tag", image, name).returncode == 0
    return name


def put(box: RealBox, text: str) -> None:
    if not any(repo.name == "texts" for repo in box.client.list_repo()):
        box.client.create_repo("texts")
    with box.client.put("texts@master") as to:
        to.data("/text", text.encode())


def create(box: RealBox, name: str, image: str, **transform: Any) -> None:
    spec = {
        "pipeline": {"name": name},
        "input": {"pfs": {"repo": "texts", "glob": "/"}},
        "transform": {
            "cmd": ["sh", "-c", "cat /word /pfs/texts/text > /pfs/out/said"],
            "image": image,
            **transform,
        },
    }
    box.client.create_pipelines(json.dumps(spec), update=True)


def ended(box: RealBox, job: str) -> JobInfo:
    """The job, once it is over."""

    def look() -> JobInfo | None:
        now = box.client.inspect_job(job)
        return now if now.finished else None

    return eventually(look, f"{job} ends")


def said(box: RealBox, name: str) -> str:
    """What the newest job's output says, once it is over."""
    job = next(iter(box.client.list_job(name)))
    job = ended(box, f"{name}@{job.id}")
    assert job.state == "JOB_SUCCESS", job.reason
    return box.client.get_file(f"{name}@master:/said").decode()


def state(box: RealBox, name: str) -> tuple[str, str]:
    info = box.client.inspect_pipeline(name)
    return info.state.removeprefix("PIPELINE_"), info.reason


def missing(box: RealBox, name: str) -> str:
    """What ``list image`` says of a pipeline's image."""
    [info] = [i for i in box.client.list_image() if i.pipeline == name]
    assert bool(info.id) != bool(info.missing)
    return info.missing


def waits(box: RealBox, name: str, words: str, state_: str = "CRASHING") -> str:
    """Wait until pipeline and job say that they wait, for a reason with these words; the reason."""

    def look() -> str:
        now, reason = state(box, name)
        job = next(iter(box.client.list_job(name)))
        waiting = (now, job.reason) == (state_, reason) and words in reason
        return reason if waiting and job.finished is None else ""

    return eventually(look, f"{name} waits: {words}", 20.0)


def test_a_version_runs_the_image_that_its_name_led_to(
    shared_box: RealBox, made: tuple[str, str]
) -> None:
    name = tag(made[0], f"{PREFIX}:moving")
    put(shared_box, "a")
    create(shared_box, "pinned", name)
    assert said(shared_box, "pinned") == "one\na"
    tag(made[1], name)
    put(shared_box, "b")
    assert said(shared_box, "pinned") == "one\nb"
    create(shared_box, "pinned", name)
    put(shared_box, "c")
    assert said(shared_box, "pinned") == "two\nc"
    spec = json.loads(shared_box.client.extract_pipeline("pinned"))
    tag(made[0], name)
    spec["reprocessOnCodeChange"] = True
    shared_box.client.create_pipelines(json.dumps(spec), update=True)
    assert said(shared_box, "pinned") == "one\nc"


def test_a_pipeline_waits_for_an_image_that_is_not_here(
    shared_box: RealBox, made: tuple[str, str], tmp_path: Path
) -> None:
    name = f"{PREFIX}:later"
    put(shared_box, "a")
    create(shared_box, "waits", name)
    reason = waits(shared_box, "waits", "is not on this machine")
    assert "podman load -i FILE" in reason
    [finding] = [f for f in shared_box.client.doctor() if f["check"] == "image of waits"]
    assert finding["level"] == "warn"
    assert missing(shared_box, "waits") == reason
    assert name in finding["detail"]
    tag(made[0], name)
    assert said(shared_box, "waits") == "one\na"
    assert state(shared_box, "waits") == ("RUNNING", "")
    assert missing(shared_box, "waits") == ""
    assert next(iter(shared_box.client.list_job("waits"))).reason == ""
    # the very image goes, and comes back from an archive
    archive = tmp_path / "image.tar"
    own = f"{PREFIX}:own"
    (tmp_path / "Dockerfile").write_text(f"FROM {made[0]}\nENV OWN={NAME}\n")
    images.run("build", "-q", "-t", own, str(tmp_path))
    create(shared_box, "waits", own)
    assert said(shared_box, "waits") == "one\na"
    assert images.run("save", "-q", "-o", str(archive), own).returncode == 0
    shared_box.client.stop_pipeline("waits")  # no worker keeps it
    eventually(lambda: images.run("rmi", own).returncode == 0, "the image is removed")
    tag(made[1], own)
    shared_box.client.start_pipeline("waits")
    put(shared_box, "b")
    waits(shared_box, "waits", "is another one than when the pipeline was created or updated")
    images.run("rmi", own)
    assert images.run("load", "-q", "-i", str(archive)).returncode == 0
    assert said(shared_box, "waits") == "one\nb"


def test_what_waits_goes_on_after_kill_9(tmp_path: Path, made: tuple[str, str]) -> None:
    box = RealBox(tmp_path / "home").start()
    try:
        name = f"{PREFIX}:killed"
        put(box, "a")
        create(box, "killed", name)
        waits(box, "killed", "is not on this machine")
        box.kill()
        tag(made[0], name)
        box.start()
        assert said(box, "killed") == "one\na"
        assert state(box, "killed") == ("RUNNING", "")
    finally:
        box.stop()


def test_an_image_is_pulled_with_the_login_of_a_secret(
    shared_box: RealBox, made: tuple[str, str], registry: Registry, tmp_path: Path
) -> None:
    auth = tmp_path / "auth.json"
    auth.write_text(json.dumps(login(registry.host)))
    name = tag(made[0], f"{registry.host}/{NAME}:1")
    push = images.run("push", "-q", "--tls-verify=false", f"--authfile={auth}", name)
    assert push.returncode == 0, push.stderr
    images.run("rmi", name)
    put(shared_box, "a")
    create(shared_box, "pulls", name)
    waits(shared_box, "pulls", "asks for a login")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": auth.read_text()},
    }
    shared_box.client.create_secret(json.dumps(secret))
    create(shared_box, "pulls", name, image_pull_secrets=["pull"])
    assert said(shared_box, "pulls") == "one\na"
    with pytest.raises(Refused, match="secret pull is used by pipeline pulls"):
        shared_box.client.delete_secret("pull")
    with pytest.raises(NotFound, match="secret none not found"):
        create(shared_box, "pulls", name, image_pull_secrets=["none"])
    create(
        shared_box,
        "pulls",
        f"{registry.host}/{NAME}:none",
        image_pull_secrets=["pull"],
    )
    put(shared_box, "b")
    reason = waits(shared_box, "pulls", f"has no {NAME}:none")
    assert registry.host in reason


def test_an_image_is_pulled_once(
    made: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path / "registry")
    engine = Engine(tmp_path / "run")
    try:
        name = tag(made[0], f"{registry.host}/{NAME}:1")
        assert images.run("push", "-q", "--tls-verify=false", name).returncode == 0
        images.run("rmi", name)
        monkeypatch.setenv("HOME", str(tmp_path))
        found = Images(engine)
        said: list[str] = []
        ids = []

        def pull() -> None:
            ids.append(found.pull(name, progress=said.append).pin)

        threads = [threading.Thread(target=pull) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(set(ids)) == 1
        assert len(ids) == 8
        assert said.count(f"Trying to pull {name}...") == 1
        pin = ids[0]
        # the same again by its digest, whatever the tag means now
        other = tag(made[1], name)
        assert images.run("push", "-q", "--tls-verify=false", other).returncode == 0
        images.run("rmi", name)
        assert found.ensure(name, pin).pin.split()[0] == pin.split()[0]
    finally:
        engine.close()
        registry.stop()
