"""--build and --push-images, with real podman and a real registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from pachybox.containers.build import build
from pachybox.containers.context import Context
from pachybox.containers.engine import Engine
from pachybox.containers.names import parse
from tests import images
from tests.boxes import RealBox
from tests.flow.shell import Ran, Run, refused, runner, succeeded
from tests.flow.test_images import ended
from tests.registry import PASSWORD, USER, Registry, login

NAME = f"pachybox-test-build-{uuid4().hex[:8]}"  # other runs on this machine have their own


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """The tag of an image to start from; what was built is removed afterwards."""
    yield images.image("busybox")
    mine = images.run("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    gone = [one for one in mine if NAME in one]
    if gone:
        images.run("rmi", "-f", *gone)


@pytest.fixture
def run(
    shared_box: RealBox,
    base: str,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    if not any(repo.name == "texts" for repo in shared_box.client.list_repo()):
        shared_box.client.create_repo("texts")
        with shared_box.client.put("texts@master") as to:
            to.data("/text", b"hello\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    return runner(shared_box, tmp_path / "config", capfdbinary, monkeypatch)


def write(folder: Path, base: str, said: str = "one", **transform: object) -> Path:
    """A spec with source and a Dockerfile beside it."""
    code = f"(cat /pfs/texts/text; echo {said}; cat /mark) > /pfs/out/all"
    (folder / "say").write_text(f"#!/bin/sh\n{code}\n")
    (folder / "say").chmod(0o755)
    (folder / "Dockerfile").write_text(
        f"FROM {base}\nARG MARK=none\nRUN echo built-$MARK > /mark\nCOPY say /bin/say\n"
    )
    (folder / ".dockerignore").write_text("*.json\n")
    spec = {
        "pipeline": {"name": "say"},
        "input": {"pfs": {"repo": "texts", "glob": "/"}},
        "transform": {"cmd": ["/bin/say"], "image": NAME, **transform},
    }
    (folder / "say.json").write_text(json.dumps(spec))
    return folder / "say.json"


def image(box: RealBox) -> str:
    """The image that the pipeline's spec names."""
    spec = json.loads(box.client.extract_pipeline("say"))
    return str(spec["transform"]["image"])


def said(box: RealBox) -> str:
    """What the newest job made."""
    job = next(iter(box.client.list_job("say")))
    job = ended(box, f"say@{job.id}")
    assert job.state == "JOB_SUCCESS", job.reason
    return box.client.get_file("say@master:/all").decode()


def make(run: Run, spec: Path, *flags: str, verb: str = "update", stdin: bytes = b"") -> Ran:
    return run(verb, "pipeline", "-f", str(spec), *flags, stdin=stdin)


def test_a_spec_is_built_once_for_each_content(
    run: Run, shared_box: RealBox, base: str, tmp_path: Path
) -> None:
    spec = write(tmp_path, base)
    before = spec.read_text()
    first = make(run, spec, "--build")
    assert first.status == 0, first.err
    assert "STEP 3/5: RUN echo built-$MARK > /mark" in first.err
    name = image(shared_box)
    assert name.startswith(f"localhost/{NAME}:")
    assert spec.read_text() == before
    (tmp_path / "say.json").write_text(before + "\n")  # is not in the context
    again = make(run, spec, "--build")
    assert again == (0, "", f"pachybox: image {name} is up to date\n")
    assert image(shared_box) == name
    assert said(shared_box) == "hello\none\nbuilt-none\n"
    write(tmp_path, base, "two")
    assert "Using cache" in make(run, spec, "--build").err  # of the steps before it is copied
    assert "STEP" in make(run, spec, "--build", "--build-arg", "MARK=2", "--reprocess").err
    assert image(shared_box) not in ("", name)
    assert said(shared_box) == "hello\ntwo\nbuilt-2\n"
    write(tmp_path, base, "two", image=f"{NAME}-too")  # the same by another name is no other build
    assert "STEP" not in make(run, spec, "--build", "--build-arg", "MARK=2").err
    assert image(shared_box).startswith(f"localhost/{NAME}-too:")


def test_a_build_that_fails_says_where_and_touches_no_pipeline(
    run: Run, shared_box: RealBox, base: str, tmp_path: Path
) -> None:
    spec = write(tmp_path, base)
    succeeded(make(run, spec, "--build"))
    name, version = image(shared_box), shared_box.client.inspect_pipeline("say").version
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base} AS first\nCOPY say /say\nFROM first\nRUN echo oh dear >&2; exit 3\n"
    )
    make(run, spec, "--build")
    ran = make(run, spec, "--build")  # again: what was made on the way is not taken for it
    *live, last = ran.err.splitlines()
    assert ran.status == 1
    assert "oh dear" in live
    assert "was not built" in last
    assert "exit status 3; its last words: oh dear" in last
    (tmp_path / "Dockerfile").write_text("FROM localhost/pachybox-test/none\n")
    said = refused(make(run, spec, "--build"))
    assert said.startswith("image localhost/pachybox-test/none is not on this machine; run: podman")
    assert (image(shared_box), shared_box.client.inspect_pipeline("say").version) == (name, version)


def test_one_given_up_leaves_no_container(base: str, tmp_path: Path) -> None:
    """Though podman is ended with it."""
    name = "localhost/pachybox-test/given-up:1"
    assert images.run("tag", base, name).returncode == 0
    (tmp_path / "Dockerfile").write_text(f"FROM {name}\nRUN echo begun; sleep 100\n")

    def stop(line: str) -> None:
        if line == "begun":
            raise KeyboardInterrupt

    with closing(Engine(tmp_path / "run")) as engine, pytest.raises(KeyboardInterrupt):
        build(engine, parse(f"localhost/{NAME}"), Context.at(tmp_path), {}, stop)
    left = images.run("ps", "--all", "--external", "--format={{.Names}}").stdout
    images.run("rmi", name)
    assert "given-up-working" not in left


def test_where_a_recipe_is_looked_for(
    run: Run, shared_box: RealBox, base: str, tmp_path: Path
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    spec = write(inner, base, dockerfile="inner/Dockerfile").rename(tmp_path / "say.json")
    assert "STEP" in make(run, spec, "--build", "--build-arg", "MARK=3").err
    spec.write_text(write(inner, base, build={"path": "inner"}).read_text())
    (inner / "Dockerfile").rename(inner / "Containerfile")
    assert make(run, spec, "--build", "--build-arg", "MARK=3").status == 0
    spec.write_text(write(inner, base, image="", dockerfile="none/Dockerfile").read_text())
    assert "there is no" in refused(make(run, spec, "--build"))
    (inner / "Dockerfile").unlink()
    spec = write(inner, base, image="")
    (inner / "Dockerfile").unlink()
    (inner / "Containerfile").unlink()
    assert "neither a Containerfile nor a Dockerfile" in refused(make(run, spec, "--build"))


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--registry", "r.io"), "--registry goes with --push-images"),
        (("--username", "ann"), "--username goes with --push-images"),
        (("--build-arg", "A=1"), "--build-arg goes with --build"),
        (("--build", "--dry-run"), "--dry-run builds and pushes nothing"),
        (("--build", "--build-arg", "A"), "--build-arg 'A' is not understood"),
        (("--build", "--push-images"), "has no registry in its name"),
        (("--push-images", "--registry", "R.io/A B"), "is no name of an image"),
    ],
)
def test_flags_that_do_not_go_together(
    run: Run, base: str, tmp_path: Path, flags: tuple[str, ...], why: str
) -> None:
    assert why in refused(make(run, write(tmp_path, base), *flags))


def test_a_wrong_spec_is_said_before_anything_is_built(run: Run, base: str, tmp_path: Path) -> None:
    spec = write(tmp_path, base, said="never", wrong=1)
    assert "wrong" in refused(make(run, spec, "--build"))
    spec.write_text("{")
    assert "say.json:1:2: not valid JSON" in refused(make(run, spec, "--build"))


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that asks for a login."""
    made = Registry(tmp_path_factory.mktemp("registry"), password=True)
    yield made
    made.stop()


def test_images_are_pushed_by_their_content(
    run: Run, shared_box: RealBox, base: str, tmp_path: Path, locked: Registry
) -> None:
    spec = write(tmp_path, base, "pushed")
    to = ("--build", "--push-images", "--registry", f"{locked.host}/team")
    ran = make(run, spec, *to)
    assert ran.status == 1
    assert f"registry {locked.host} asks for a login for team/{NAME}" in ran.err.splitlines()[-1]
    ran = make(run, spec, *to, "--username", USER, stdin=b"wrong\n")
    assert "does not accept the login given" in ran.err.splitlines()[-1]
    assert "there is no password of ann" in make(run, spec, *to, "--username", USER).err
    ran = make(run, spec, *to, "--username", USER, stdin=f"{PASSWORD}\n".encode())
    assert ran.status == 0, ran.err
    name = image(shared_box)
    assert name.startswith(f"{locked.host}/team/{NAME}:")
    assert locked.tags(f"team/{NAME}") == [name.rpartition(":")[2]]
    assert PASSWORD not in ran.err


def test_an_image_is_pushed_as_it_is(
    run: Run, shared_box: RealBox, base: str, tmp_path: Path, locked: Registry
) -> None:
    (tmp_path / "auth.json").write_text(json.dumps(login(locked.host)))
    spec = write(tmp_path, base, image=base)
    succeeded(make(run, spec, "-p", "-r", locked.host))
    name = image(shared_box)
    assert name.startswith(f"{locked.host}/pachybox-test/busybox:")
    assert locked.tags("pachybox-test/busybox") == [name.rpartition(":")[2]]
    images.run("rmi", name)
    spec = write(tmp_path, base, image="")
    assert "no spec names an image to push" in refused(make(run, spec, "-p", "-r", locked.host))
    spec = write(tmp_path, base, image="localhost/pachybox-test/none")
    assert "is not on this machine" in refused(make(run, spec, "-p", "-r", locked.host))
