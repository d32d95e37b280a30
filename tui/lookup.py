"""Names that the terminal has not seen, from the box: by what they begin with, 50 at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pachybox.errors import PachyboxError
from tui.places import split

if TYPE_CHECKING:
    from pachybox.client import AsyncClient

MOST = 50


async def from_box(box: AsyncClient, line: str) -> list[str]:
    """How the last word of ``line`` may go on: branches and jobs after ``@``, files after
    ``:``. Empty where the box does not know or does not answer."""
    head, space, word = line.rpartition(" ")
    try:
        if ":" in word:
            found = await _files(box, word)
        elif "@" in word:
            found = [*await _branches(box, word), *await _jobs(box, word)]
        else:
            return []
    except PachyboxError:
        return []
    return [f"{head}{space}{one}" for one in found if one.startswith(word)][:MOST]


async def _branches(box: AsyncClient, word: str) -> list[str]:
    repo = split(word)[0]
    try:
        return [str(branch) for branch in await box.list_branch(repo).all()]
    except PachyboxError:  # there is no such repo: the name may be a pipeline's
        return []


async def _jobs(box: AsyncClient, word: str) -> list[str]:
    pipeline, ref, _ = split(word)
    try:
        page = await box.page_job(pipeline=pipeline, search=ref, limit=MOST)
    except PachyboxError:
        return []
    return [str(job) for job in page.rows]


async def _files(box: AsyncClient, word: str) -> list[str]:
    name, ref, path = split(word)
    folder, _, leaf = path.rpartition("/")
    where = f"{name}@{ref or 'master'}:{folder or '/'}"
    page = await box.page_file(where, search=leaf, limit=MOST)
    before = word.partition(":")[0]
    return [f"{before}:{file.path}" for file in page.rows]
