"""How the suite runs."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.boxes import RealBox
from tests.examples import many
from tests.images import busybox_image as busybox_image
from tests.images import odd_image as odd_image
from tests.images import python_image as python_image
from tests.images import scratch_image as scratch_image
from tests.images import static_image as static_image

# A busy machine makes an example slow, which says nothing of the code.
settings.register_profile(
    "suite", deadline=None, max_examples=many(100), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

MOST_PROCESSES = 8


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "box(which): what the fixture box is: a new one (own, unless told otherwise), or that of "
        "the module (shared), where all that the test made is deleted after it",
    )
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as of what a shell put behind itself
        signal.signal(signal.SIGINT, signal.default_int_handler)  # programs under test inherit it


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``-n auto``: one process more than processors, for tests wait more than they compute."""
    return min(len(os.sched_getaffinity(0)) + 1, MOST_PROCESSES)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits and takes long comes first, so that no process is left with a long test in the
    end."""
    order = ("crash", "appliance", "flow", "clients", "contract", "kube", "fuzz", "unit", "arch")
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        area = item.path.relative_to(here).parts[0]
        return order.index(area) if area in order else len(order)

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """What was collected stays, and need not be looked through for cycles: looks at it every 700
    objects were an eighth of the work of tests."""
    gc.freeze()
    gc.set_threshold(20_000, 5, 5)


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
