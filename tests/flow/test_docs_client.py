"""The Python of docs/client.md and docs/coming-from-pachyderm.md runs, block after block."""

from __future__ import annotations

import linecache
import re
from pathlib import Path
from typing import Any

import pytest

from tests.arch.repo import ROOT
from tests.boxes import RealBox

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


@pytest.mark.parametrize("page", ["client.md", "coming-from-pachyderm.md"])
def test_the_examples_of_the_page_run(
    page: str, box: RealBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = box.client.status()
    monkeypatch.setenv("PACHYBOX_ADDRESS", str(box.socket))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(b"a picture")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"12345")
    names: dict[str, Any] = {"__name__": "__main__"}
    text = (ROOT / "docs" / page).read_text()
    text = text.replace("grpc://localhost:30650", status.grpc_address)
    for number, block in enumerate(BLOCK.findall(text), 1):
        name = f"{page}, block {number}"  # functions are found by it, as in a notebook
        linecache.cache[name] = (len(block), None, block.splitlines(keepends=True), name)
        exec(compile(block, name, "exec"), names)
    if page == "client.md":
        names["box"].close()
        assert (tmp_path / "copy" / "one.jpg").read_bytes() == b"12345"
        assert box.client.get_file(f"{names['made']}:/one.jpg").strip() == b"5"
        assert box.client.get_file(f"{names['done']}:/one.jpg.txt") == b"5"
        assert names["rows"] == [{"name": "a.png", "label": "cat"}]
        assert names["tail"] == b"ture"
