"""How values show in a notebook and how a transfer shows in a terminal."""

from __future__ import annotations

import pytest

from pachybox.client import Bar, FileInfo, Records, RepoInfo
from pachybox.client.archive import address
from pachybox.client.progress import watched


def file(path: str, size: int) -> FileInfo:
    return FileInfo.from_json({"file": {"path": path}, "fileType": "FILE", "sizeBytes": str(size)})


def test_a_value_shows_as_a_table_with_its_texts_escaped() -> None:
    info = RepoInfo.from_json(
        {
            "repo": {"name": "images"},
            "description": "<script>\"&'",
            "created": "2026-01-02T03:04:05Z",
            "details": {"sizeBytes": "123456789"},
            "branches": [{"name": "master"}, {"name": "dev"}],
        }
    )
    text = info._repr_html_()
    assert "<tr><th>name<td>images" in text
    assert "<td>&lt;script&gt;&quot;&amp;'" in text
    assert "<th>size<td>117.7 MiB" in text
    assert "<td>master, dev" in text
    assert "<td>2026-01-02 03:04:05 UTC" in text
    assert "raw" not in text


def test_a_list_shows_as_one_table_with_the_columns_that_say_something() -> None:
    records = Records(file(f"/{n}<", n) for n in range(150))
    text = records._repr_html_()
    assert text.count("<tr>") == 101
    assert "<th>path<th>is_dir<th>size" in text
    assert "committed" not in text
    assert "<td>/7&lt;<td>False<td>7 B" in text
    assert "and 50 more" in text
    assert Records([])._repr_html_() == "<p>nothing</p>"
    assert "<td>one" in Records(["one"])._repr_html_()


def test_a_bar_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("photos") as bar:
        bar(1 << 20, 1)
        bar(5 << 20, 2)
    printed = capsys.readouterr().err
    assert printed.startswith("\rphotos: 1 file, 1.0 MiB, ")
    assert printed.rpartition("\r")[2].startswith("photos: 2 files, 5.0 MiB, ")
    assert printed.count("\n") == 1
    with watched(True) as bar_:
        assert isinstance(bar_, Bar)
    with watched(None) as nothing:
        assert nothing is None
    with watched(bar) as same:
        assert same is bar


def test_the_address_of_a_zip_is_the_one_the_box_makes() -> None:
    from pachybox.api import archive_address

    for files in ([], ["default/images@master:/"], [f"p/r@b:/{'x' * 3000}{n}" for n in range(100)]):
        assert [str(one) for one in archive_address.parse(address(files))] == sorted(files)
