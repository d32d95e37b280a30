"""What a datum sees is the content of its inputs, whatever way it is shown."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pachybox.errors import Corrupt, InvalidArgument, NotFound
from pachybox.model.ids import Repo
from pachybox.pfs.service import Pfs
from pachybox.pps import layout
from pachybox.pps.layout import Presented, Presenter, Way
from pachybox.store import gc
from tests.examples import many
from tests.mounts import mounted, why_not

from .world import an_input, append, commit, opened

BIG = 300_001  # an object of its own, with a broken block at its end


@pytest.fixture
def pfs(tmp_path: Path) -> Iterator[Pfs]:
    with opened(tmp_path / "box") as made:
        yield made


@pytest.fixture(params=list(Way))
def way(request: pytest.FixtureRequest) -> Way:
    if request.param is Way.IMAGE and why_not():
        pytest.skip(why_not())
    assert isinstance(request.param, Way)
    return request.param


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


def read(folder: Path) -> dict[str, bytes | None]:
    """All files below (None for directories) by path."""
    found: dict[str, bytes | None] = {}
    for path in folder.rglob("*"):
        found[str(path.relative_to(folder))] = None if path.is_dir() else path.read_bytes()
    return found


def shown(presented: Presented, into: Path) -> dict[str, bytes | None]:
    """What user code would see: the layout as the worker shows it."""
    made = presented.layout
    found: dict[str, bytes | None] = dict.fromkeys(made.dirs)
    found |= dict(made.files)
    if made.tree is not None:
        found |= read(made.tree)
    if made.image is not None:
        with mounted(made.image, made.devices, into / "at") as at:
            found |= read(at)
    for path, _ in made.links:
        known = path.rpartition("/")[0] in found
        assert known, "the directory of a link is there"
    found |= {path: Path(source).read_bytes() for path, source in made.links}
    return found


def force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing travels: the other ways are taken for the smallest datum."""
    for name in ("FEW_FILES", "FEW_BYTES", "MANY_FILES", "MANY_BYTES"):
        monkeypatch.setattr(layout, name, -1)


FILES = {
    "/a": b"hello",
    "/a-b": noise(700),
    "/d/x": noise(1024),
    "/d/e/empty": b"",
    "/d/e/big": noise(BIG),
    "/d/e/even": noise(1 << 18),
    "/d.txt": noise(255),
    "/é (1)[2]": noise(256),
}


@pytest.mark.parametrize("forced", [False, True])
def test_every_way_shows_the_same(
    pfs: Pfs, tmp_path: Path, way: Way, forced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forced:
        force(monkeypatch)
    commit(pfs, "r", FILES)
    with Presenter(pfs, way).present([an_input(pfs, "r")], tmp_path / "w") as got:
        found = shown(got, tmp_path)
        assert {p: d for p, d in found.items() if d is not None} == {
            "in" + path: data for path, data in FILES.items()
        }
        assert {p for p, d in found.items() if d is None} == {"in", "in/d", "in/d/e"}
        assert got.layout.bytes == sum(map(len, FILES.values()))
        if forced:
            assert not got.layout.files
            assert (got.layout.image is not None) is (way is Way.IMAGE)
        elif way is not Way.COPIES:
            assert got.layout.tree is got.layout.image is None
            assert not (tmp_path / "w").exists(), "no file is made for a small datum"


@settings(
    max_examples=many(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.dictionaries(
        st.lists(st.sampled_from(["a", "b", "-", "a-", "é", "z" * 255]), min_size=1, max_size=3)
        .map(lambda names: "/" + "/".join([*names, "f"])),
        st.sampled_from([0, 1, 255, 256, 1000, 4096, 131_072, 131_073, 200_000]),
        max_size=12,
    ),
    st.integers(0, 3),
)  # fmt: skip
def test_any_tree_is_shown_by_links_by_devices_and_by_copies(
    pfs: Pfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int], most: int
) -> None:
    force(monkeypatch)
    monkeypatch.setattr("pachybox.pps.image.LINKS", most)
    monkeypatch.setattr("pachybox.pps.image.BATCH", 3)
    files = {path: noise(size, i) for i, (path, size) in enumerate(sizes.items())}
    repo = f"r{len(pfs.list_repos())}"
    commit(pfs, repo, files)
    want = {"in" + path: data for path, data in files.items()}
    ways = [Way.TREE, Way.COPIES] + ([] if why_not() else [Way.IMAGE])
    for way in ways:
        into = tmp_path / f"w-{repo}-{way.value}"
        with Presenter(pfs, way).present([an_input(pfs, repo)], into) as got:
            found = shown(got, tmp_path)
            assert {p: d for p, d in found.items() if d is not None} == want, way
            assert len(got.layout.links) <= most


def test_a_file_of_pieces_is_shown_whole(
    pfs: Pfs, tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch)
    entries = [
        ("/blocks", [noise(1 << 23, 1), noise(1 << 22, 2), noise(4096, 3)]),
        ("/ragged end", [noise(1 << 23, 1), noise(BIG, 2)]),
        ("/ragged", [noise((1 << 23) + 1, 1), noise(BIG, 2)]),
        ("/small", [noise(100_000, 1), noise(20_000, 2), noise(300, 3), b"x"]),
    ]
    commit(pfs, "r", [(path, append(pfs, parts)) for path, parts in entries])
    with Presenter(pfs, way).present([an_input(pfs, "r")], tmp_path / "w") as got:
        found = shown(got, tmp_path)
        for path, parts in entries:
            assert found["in" + path] == b"".join(parts), path
        if way is Way.IMAGE:
            assert got.layout.image is not None
            size = got.layout.image.stat().st_size
            assert (8 << 20) < size < (12 << 20), "only what does not lie on blocks is copied"


def test_many_files_in_many_packs_are_one_image(
    pfs: Pfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why_not():
        pytest.skip(why_not())
    files = {f"/d{i % 7}/f{i}": noise(300 + i % 700, i) for i in range(3000)}
    for part in range(3):
        commit(pfs, "r", {p: d for i, (p, d) in enumerate(files.items()) if i % 3 == part})
        pfs.blobs.packs.seal()
    commit(pfs, "r", files)
    with Presenter(pfs, Way.IMAGE).present([an_input(pfs, "r")], tmp_path / "w") as got:
        assert len(got.layout.devices) == 3
        found = shown(got, tmp_path)
        assert {p: d for p, d in found.items() if d is not None} == {
            "in" + path: data for path, data in files.items()
        }
    assert not (tmp_path / "w" / "image").exists(), "an image goes with its datum"


def test_packs_stay_while_they_are_shown_and_go_afterwards(pfs: Pfs, tmp_path: Path) -> None:
    if why_not():
        pytest.skip(why_not())
    files = {f"/f{i}": noise(600, i) for i in range(100)}
    commit(pfs, "r", files)
    commit(pfs, "junk", {f"/j{i}": noise(5000, i) for i in range(100)})
    pfs.blobs.packs.seal()
    keep = [e.hash for _, e in pfs.trees.walk(pfs.resolve(Repo("default", "r"), "master").root)]
    keep += [pfs.resolve(Repo("default", "r"), "master").root]
    got = Presenter(pfs, Way.IMAGE).present([an_input(pfs, "r")], tmp_path / "w")
    (pack,) = got.layout.devices
    assert gc.collect(pfs.blobs, lambda: keep).packs_removed == 0
    assert pack.exists()
    assert got.layout.image is not None
    image = tmp_path / "held"
    os.link(got.layout.image, image)
    with mounted(image, got.layout.devices, tmp_path / "at") as at:
        got.close()
        assert gc.collect(pfs.blobs, lambda: keep).packs_removed == 1
        assert not pack.exists()
        assert read(at / "in") == {p[1:]: d for p, d in files.items()}, "the mount holds the pack"
    with Presenter(pfs, Way.IMAGE).present([an_input(pfs, "r")], tmp_path / "w") as got:
        assert got.layout.devices[0] != pack
        assert shown(got, tmp_path)["in/f7"] == files["/f7"]


def test_inputs_of_one_name_share_a_directory(pfs: Pfs, tmp_path: Path, way: Way) -> None:
    commit(pfs, "r", {"/a/1": b"1", "/a/2": b"2", "/b": b"b"})
    commit(pfs, "s", {"/a/3": b"3", "/a/1": b"1", "/c/d": b"d"})
    inputs = [
        an_input(pfs, "r", "/a/1"),
        an_input(pfs, "r", "/a"),
        an_input(pfs, "s", "/a"),
        an_input(pfs, "s", "/c/d"),
        an_input(pfs, "r", "/b", "other"),
    ]
    want = {"in/a/1": b"1", "in/a/2": b"2", "in/a/3": b"3", "in/c/d": b"d", "other/b": b"b"}
    for n, order in enumerate((inputs, inputs[::-1])):
        with Presenter(pfs, way).present(order, tmp_path / f"w{n}") as got:
            found = shown(got, tmp_path)
            assert {p: d for p, d in found.items() if d is not None} == want


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        ({"/a": b"1"}, {"/a": b"2"}, "/pfs/in/a"),
        ({"/d/a": b"1"}, {"/d/a": b"2"}, "/pfs/in/d/a"),
        ({"/d": b"1"}, {"/d/a": b"2"}, "/pfs/in/d"),
    ],
)
def test_two_contents_of_one_path_are_an_error_that_names_both(
    pfs: Pfs, tmp_path: Path, one: dict[str, bytes], other: dict[str, bytes], where: str
) -> None:
    commit(pfs, "r", one)
    commit(pfs, "s", other)
    for first, second in (("r", "s"), ("s", "r")):
        paths = [(n, next(iter(f))) for n, f in (("r", one), ("s", other))]
        for globs in ({"r": "/", "s": "/"}, dict(paths)):
            inputs = [an_input(pfs, n, globs[n]) for n in (first, second)]
            with pytest.raises(InvalidArgument, match="two inputs") as e:
                Presenter(pfs, Way.COPIES).present(inputs, tmp_path / "w")
            assert where in e.value.message
            assert "r@" in e.value.message
            assert "s@" in e.value.message


def test_empty_files_have_their_names_only(
    pfs: Pfs, tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(pfs, "r", {"/a": b"x" * 500, "/d/big": noise(BIG)})
    inputs = [an_input(pfs, "r"), an_input(pfs, "r", "/", "full")]
    for forced in (False, True):
        if forced:
            force(monkeypatch)
        presenter = Presenter(pfs, way, frozenset({"in"}))
        with presenter.present(inputs, tmp_path / f"w{forced}") as got:
            found = shown(got, tmp_path)
            assert (found["in/a"], found["in/d/big"]) == (b"", b"")
            assert (found["full/a"], found["full/d/big"]) == (b"x" * 500, noise(BIG))
            assert got.layout.bytes == 500 + BIG


def test_an_empty_commit_is_an_empty_directory(pfs: Pfs, tmp_path: Path, way: Way) -> None:
    commit(pfs, "r", {})
    with Presenter(pfs, way).present([an_input(pfs, "r")], tmp_path / "w") as got:
        assert shown(got, tmp_path) == {"in": None}


def test_what_is_copied_is_verified_and_what_is_linked_has_its_size(
    pfs: Pfs, tmp_path: Path, way: Way
) -> None:
    commit(pfs, "r", {"/small": noise(1000), "/large": noise(BIG)})
    small, large = an_input(pfs, "r", "/small"), an_input(pfs, "r", "/large")
    pack = pfs.blobs.locate(small.hash)
    with open(pack.path, "r+b") as f:
        f.seek(pack.offset)
        f.write(b"!")
    with pytest.raises(Corrupt, match="not blob"):
        Presenter(pfs, way).present([small], tmp_path / "w1")
    place = pfs.blobs.locate(large.hash).path
    place.chmod(0o644)
    os.truncate(place, BIG - 1)
    with pytest.raises(Corrupt):
        Presenter(pfs, way).present([large], tmp_path / "w2")


@pytest.mark.parametrize("many", [0, 100])
def test_a_datum_that_is_not_large_is_proven_however_it_is_shown(
    pfs: Pfs, tmp_path: Path, way: Way, many: int
) -> None:
    """Alone it is mounted, among many it is behind an image or a link."""
    small = {f"/small{i}": noise(300 + i) for i in range(many)}
    commit(pfs, "r", {"/large": noise(BIG), **small})
    place = pfs.blobs.locate(an_input(pfs, "r", "/large").hash).path
    place.chmod(0o644)
    with open(place, "r+b") as f:
        f.seek(BIG // 2)
        f.write(b"?")
    with pytest.raises(Corrupt, match=place.name):
        Presenter(pfs, way).present([an_input(pfs, "r")], tmp_path / "w")


def test_large_objects_are_not_read(pfs: Pfs, tmp_path: Path, way: Way) -> None:
    if way is Way.COPIES:
        pytest.skip("there they are copied")
    commit(pfs, "r", {"/large": noise(BIG)})
    one = an_input(pfs, "r", "/large")
    place = pfs.blobs.locate(one.hash).path
    before = place.stat()
    with Presenter(pfs, way, proven=BIG - 1).present([one], tmp_path / "w") as got:
        assert got.layout.links == (("in/large", str(place)),)
    after = place.stat()
    assert (after.st_atime_ns, after.st_nlink) == (before.st_atime_ns, before.st_nlink)
    assert stat.S_IMODE(after.st_mode) == 0o444


def test_nothing_is_linked_where_user_code_could_write(pfs: Pfs, tmp_path: Path) -> None:
    commit(pfs, "r", {"/large": noise(BIG)})
    with Presenter(pfs, Way.COPIES).present([an_input(pfs, "r")], tmp_path / "w") as got:
        assert not got.layout.links
        assert got.layout.tree is not None
        assert (got.layout.tree / "in/large").stat().st_nlink == 1


def test_a_commit_that_is_gone_is_not_found(pfs: Pfs, tmp_path: Path) -> None:
    commit(pfs, "r", {"/a": b"1"})
    one = an_input(pfs, "r", "/a")
    presenter = Presenter(pfs, Way.COPIES)
    assert presenter.root_of(one) == pfs.resolve(Repo("default", "r"), "master").root
    pfs.delete_repo(Repo("default", "r"))
    assert presenter.present([one], tmp_path / "w").layout.bytes == 1, "known to this job"
    with pytest.raises(NotFound, match=one.commit):
        Presenter(pfs, Way.COPIES).present([one], tmp_path / "w")
