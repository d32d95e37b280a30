"""How the suite runs: on several processes at once, and some tests with nobody beside them."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.boxes import RealBox
from tests.images import busybox_image as busybox_image
from tests.images import odd_image as odd_image
from tests.images import python_image as python_image
from tests.images import scratch_image as scratch_image
from tests.images import static_image as static_image

# A busy machine makes an example slow, which says nothing of the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

MOST_PROCESSES = 8
_locks = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "alone: no other test runs meanwhile; for what measures the whole machine"
    )
    config.addinivalue_line(
        "markers",
        "box(which): what the fixture box is: a new one (own, unless told otherwise), or that of "
        "the module (shared), where all that the test made is deleted after it",
    )
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as of what a shell put behind itself
        signal.signal(signal.SIGINT, signal.default_int_handler)  # programs under test inherit it
    if hasattr(config, "workerinput"):
        config.stash[_locks] = Path(config.workerinput["locks"])
    else:
        config.stash[_locks] = Path(tempfile.mkdtemp(prefix="pachybox-tests-"))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = config.stash[_locks]
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a process of pytest-xdist where the locks are."""
    node.workerinput["locks"] = str(node.config.stash[_locks])  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``-n auto``: one process more than processors, for tests wait more than they compute."""
    return min(len(os.sched_getaffinity(0)) + 1, MOST_PROCESSES)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that run alone come first, when most of the others are still short ones; then what
    waits and takes long, so that no process is left with a long test in the end."""
    order = ("crash", "appliance", "flow", "clients", "contract", "kube", "fuzz", "unit", "arch")
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> tuple[bool, int]:
        area = item.path.relative_to(here).parts[0]
        place = order.index(area) if area in order else len(order)
        return (item.get_closest_marker("alone") is None, place)

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """What was collected stays, and need not be looked through for cycles: looks at it every 700
    objects were an eighth of the work of tests."""
    gc.freeze()
    gc.set_threshold(20_000, 5, 5)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Hold a lock during a test, its set-up and its tear-down: with others or ``alone``.

    The gate is what lets the lone one in: who waits behind it for the lock holds back all others.
    """
    if not hasattr(item.config, "workerinput"):
        return (yield)
    alone = item.get_closest_marker("alone") is not None
    folder = item.config.stash[_locks]
    with open(folder / "gate", "w") as gate, open(folder / "running", "w") as running:
        fcntl.flock(gate, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(gate, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="module")
def shared_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A running box shared by the tests of a module; each uses repos of its own."""
    box = RealBox(tmp_path_factory.mktemp("box") / "home").start()
    yield box
    box.stop()


@pytest.fixture
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealBox]:
    """A running box with nothing in it; see the marker ``box``."""
    mark = request.node.get_closest_marker("box")
    if mark is not None and mark.args == ("shared",):
        shared: RealBox = request.getfixturevalue("shared_box")
        yield shared
        shared.client.delete_all()
        return
    made = RealBox(tmp_path / "home").start()
    yield made
    made.stop()
