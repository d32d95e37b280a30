"""The engine: podman found or started, with the runtime that works, and told from what is none."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.containers.engine import SOCKET, Engine, EngineGone, EngineMissing, ulimits
from pachybox.errors import InvalidArgument
from tests import images
from tests.boxes import eventually


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    images.needed()
    made = Engine(tmp_path / "run")
    yield made
    made.close()
    assert service(tmp_path) == 0


def service(folder: Path) -> int:
    """The process that listens below ``folder``, 0 when there is none."""
    done = subprocess.run(
        ["pgrep", "-f", f"^[^ ]*podman .*unix://{folder}"], capture_output=True, check=False
    )
    return int(done.stdout.split()[0]) if done.stdout else 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # podman-py's
def test_a_service_of_our_own_is_started_once_and_again_when_it_died(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service(tmp_path) == 0, "not before it is asked for"
    assert engine.client().ping()
    facts = engine.facts()
    assert facts.version.split(".")[0] >= "4"
    assert facts.started
    assert facts.socket == (tmp_path / "run" / SOCKET).resolve()
    assert facts.ulimits == ulimits()
    assert engine.trial() == ""
    first = service(tmp_path)
    assert engine.client() is engine.client()
    os.kill(first, signal.SIGKILL)
    assert engine.client().ping()
    second = service(tmp_path)
    assert second not in (0, first)
    monkeypatch.setattr("pachybox.containers.engine._PING_S", 0.2)
    os.kill(second, signal.SIGSTOP)
    threads = list(Path(f"/proc/{second}/task").iterdir())
    eventually(lambda: all(" T " in (t / "stat").read_text() for t in threads), "it hangs")
    engine.client()
    assert service(tmp_path) not in (0, second), "one that hangs is ended"
    gc.collect()  # a socket that podman-py left open when it could not connect


def test_a_service_of_our_own_ends_with_us_however_we_end(tmp_path: Path) -> None:
    images.needed()
    code = (
        "import os, sys; from pathlib import Path; from pachybox.containers.engine import Engine\n"
        "Engine(Path(sys.argv[1]) / 'run').client(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False, timeout=60)
    eventually(lambda: service(tmp_path) == 0, "podman ends")


def test_a_service_that_listens_is_used(engine: Engine, tmp_path: Path) -> None:
    socket = engine.facts().socket
    other = Engine(tmp_path / "other", f"unix://{socket}")
    facts = other.facts()
    assert not facts.started
    assert facts.socket == socket
    assert str(socket) in facts.why
    other.close()
    assert engine.client().ping(), "it is not ours to end"


def test_the_runtime_that_starts_containers_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.needed()
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho this kernel will not do >&2\nexit 1\n")
    broken.chmod(0o755)
    settings = tmp_path / "containers.conf"
    settings.write_text(
        f'[engine]\nruntime = "broken"\n[engine.runtimes]\nbroken = ["{broken}"]\n'
        'runc = ["/usr/bin/runc", "/usr/sbin/runc"]\ncrun = ["/usr/bin/crun"]\n'
    )
    monkeypatch.setenv("CONTAINERS_CONF", str(settings))
    engine = Engine(tmp_path / "run")
    try:
        facts = engine.facts()
        assert facts.runtime in ("crun", "runc")
        assert facts.why.startswith("podman's default, ")
        assert "starts none here" in facts.why
        assert engine.trial() == ""
    finally:
        engine.close()


def test_no_podman_is_told_from_one_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Engine(tmp_path / "run", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(EngineGone, match=r"nobody\.sock"):
        gone.client()
    with pytest.raises(InvalidArgument, match="must be on this machine"):
        Engine(tmp_path / "run", "ssh://elsewhere/podman.sock").client()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CONTAINER_HOST", raising=False)
    if not Path("/run/podman/podman.sock").exists():
        with pytest.raises(EngineMissing, match="not installed") as e:
            Engine(tmp_path / "run").client()
        assert "apt install podman" in e.value.hint
