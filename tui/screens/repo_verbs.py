"""What is done to a repo's branches, commits and files; ``repo_view`` says to which."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from pachybox.errors import InvalidArgument
from tui.external import program
from tui.keymap import Key
from tui.screens.repo_path import PathPrompt
from tui.screens.repo_rows import SHORT, is_open
from tui.screens.view import View
from tui.shown import size
from tui.widgets.confirm import Ask

if TYPE_CHECKING:
    from pachybox.client import CommitInfo

EDITED = 256 << 20
"""Bytes of a file that an editor is given."""
_STANDS_S = 3.0


class RepoVerbs(View):
    """The verbs of the repo view. Subclasses know what is selected."""

    repo = ""
    branch = ""
    commit: CommitInfo | None = None
    wish = ""  # the branch to show as soon as it is listed
    _did = 0.0

    # What the view says

    def pane_in_front(self) -> str:
        """Which list has the focus: branches, commits, files or changes; preview counts too."""
        return "files"

    def selected(self) -> list[str]:
        """Paths of the files that are marked, else of the one under the cursor."""
        return []

    def size_of(self, path: str) -> int:
        """Bytes of a file or folder that is selected."""
        return 0

    def name_of(self, path: str = "") -> str:
        """``repo@ref:/path`` of a file of the commit shown."""
        return ""

    def progress(self, text: str) -> None:
        """Say how far a transfer is; empty when it is over."""

    async def refresh_all(self) -> None:
        """Load again what is shown."""

    def did(self, command: str) -> None:
        """Show the command line that does the same, and let it stand for a while: what is shown
        again because of a change says nothing of its own."""
        self._did = time.monotonic()
        self.frame.told(command)

    def looked(self, command: str) -> None:
        """Show the command line that shows the same."""
        if time.monotonic() - self._did > _STANDS_S:
            self.frame.told(command)

    # Why not

    def why_not(self, key: Key) -> str:
        front = self.pane_in_front()
        if key.id in ("save", "editor") and not self.selected():
            return "no file is selected"
        if key.id == "delete":
            if front == "commits":
                return "a commit is deleted by: pachybox delete commit"
            if front == "branches":
                return "" if self.branch else "there is no branch"
            if not is_open(self.commit):
                return "files are deleted in an open commit; n starts one"
            return "" if self.selected() else "no file is selected"
        if key.id in ("upstream", "downstream", "diff") and self.commit is None:
            return "there is no commit"
        return ""

    async def do_yaml(self) -> None:
        """o: the branch, commit or file as the box knows it."""
        from tui.screens.job_verbs import as_yaml
        from tui.screens.output import Output

        box, front = self.frame.feed.box, self.pane_in_front()
        if front == "branches":
            name, noun = f"{self.repo}@{self.branch}", "branch"
            raw = (await box.inspect_branch(name)).raw
        elif front == "commits" and self.commit is not None:
            name, noun = f"{self.repo}@{self.commit.id}", "commit"
            raw = (await box.inspect_commit(name)).raw
        else:
            name, noun = self.name_of(next(iter(self.selected()), "/")), "file"
            raw = (await box.inspect_file(name)).raw
        self.looked(f"inspect {noun} {shlex.quote(name)} -o yaml")
        self.app.push_screen(Output(name, await asyncio.to_thread(as_yaml, raw)))

    # New and delete

    async def do_new(self) -> None:
        """A branch, a commit, or the end of one."""
        choices = [("branch", "a branch from this commit"), ("start", "start a commit")]
        if is_open(self.commit):
            choices.insert(0, ("finish", "finish the open commit"))
        picked = await self.ask(Ask(f"New in {self.repo}?", choices=tuple(choices)))
        if picked is not None:
            await {"branch": self._branch, "start": self._start, "finish": self._finish}[picked]()
            await self.refresh_all()

    async def _branch(self) -> None:
        name = await self.ask(Ask("New branch?", line="", hint="its name; Esc leaves"))
        if not name or not (name := name.strip()):
            return
        head = self.commit.id if self.commit else None
        await self.frame.feed.box.create_branch(f"{self.repo}@{name}", head=head)
        self.did(f"create branch {self.repo}@{name}" + (f" --head {head}" if head else ""))
        self.wish = name

    async def _start(self) -> None:
        name = await self.ask(Ask("Start a commit on which branch?", line=self.branch or "master"))
        if not name or not (name := name.strip()):
            return
        await self.frame.feed.box.start_commit(f"{self.repo}@{name}")
        self.did(f"start commit {self.repo}@{name}")
        self.wish = name

    async def _finish(self) -> None:
        assert self.commit is not None
        words = await self.ask(Ask("Finish the commit?", line="", hint="a description, or nothing"))
        if words is None:
            return
        place = f"{self.repo}@{self.commit.id}"
        await self.frame.feed.box.finish_commit(place, description=words)
        self.did(f"finish commit {place}" + (f" -m {shlex.quote(words)}" if words else ""))

    async def do_delete(self) -> None:
        """A branch, or files of an open commit."""
        if self.pane_in_front() == "branches":
            await self._delete_branch()
        else:
            await self._delete_files()

    async def _delete_branch(self) -> None:
        place = f"{self.repo}@{self.branch}"
        summary = self.frame.store.summary
        users = [p.name for p in summary.pipelines if place in p.inputs] if summary else []
        text = "Its commits stay."
        if users:
            text += f" It is read by {len(users)} pipelines: {', '.join(users)}."
        command = f"delete branch {place}"
        ask = Ask(f"Delete branch {self.branch}?", text, typed=self.branch, command=command)
        if await self.ask(ask) == self.branch:
            await self.frame.feed.box.delete_branch(place)
            self.did(command)
            self.branch = ""
            await self.refresh_all()

    async def _delete_files(self) -> None:
        paths = self.selected()
        files = [self.name_of(path) for path in paths]
        commands = "; pachybox ".join(f"delete file {shlex.quote(file)}" for file in files[:20])
        total = size(sum(self.size_of(path) for path in paths))
        what = paths[0] if len(paths) == 1 else f"{len(paths)} files"
        text = f"{total} in the open commit {self.commit.id[:SHORT] if self.commit else ''}."
        if await self.ask(Ask(f"Delete {what}?", text, command=commands)) == "y":
            for file in files:
                await self.frame.feed.box.delete_file(file)
            self.did(commands)
            await self.refresh_all()

    # To the box and back

    async def _path(self, title: str, line: str = "") -> Path | None:
        answer = await self.app.push_screen_wait(PathPrompt(title, line))
        return Path(answer).expanduser() if answer else None

    async def do_put(self) -> None:
        """A file or folder of this machine to a branch, or into the open commit."""
        source = await self._path("Put which file or folder?")
        if source is None:
            return
        is_folder = await asyncio.to_thread(source.is_dir)
        if not is_folder and not await asyncio.to_thread(source.is_file):
            self.frame.notice(f"{source} is no file or folder", error=True)
            return
        opened = is_open(self.commit)
        ref = self.commit.id if opened and self.commit else self.branch or "master"
        line = f"{self.repo}@{ref}:{self._folder()}{'' if is_folder else source.name}"
        target = await self.ask(Ask("Put it where?", line=line, hint="repo@branch:/path"))
        if not target:
            return
        box = self.frame.feed.box
        async with self._transfer(f"putting {source.name}") as progress:
            if is_folder:
                await box.put_files(target, source, progress=progress)
            else:
                await box.put_file(target, str(source), progress=progress)
        recursive = "-r " if is_folder else ""
        self.did(f"put file {recursive}{shlex.quote(target)} -f {shlex.quote(str(source))}")
        await self.refresh_all()

    def _folder(self) -> str:
        """The folder that is selected, or that of the file."""
        path = next(iter(self.selected()), "/")
        return path if path.endswith("/") else path.rpartition("/")[0] + "/"

    async def do_save(self) -> None:
        """What is selected to disk; what is there is not overwritten without asking."""
        paths = self.selected()
        if len(paths) > 1:
            into = await self._path(f"Save {len(paths)} files into which folder?", "./")
            for path in paths if into else ():
                assert into is not None
                await self._save(path, into / path.rstrip("/").rpartition("/")[2])
            return
        name = paths[0].rstrip("/").rpartition("/")[2] or self.repo.replace("/", "-")
        if target := await self._path(f"Save {paths[0]} as?", f"./{name}"):
            if not paths[0].endswith("/") and await asyncio.to_thread(target.is_dir):
                target /= name
            await self._save(paths[0], target)

    async def _save(self, path: str, target: Path) -> None:
        folder = path.endswith("/")
        if await asyncio.to_thread(_taken, target, folder):
            text = "Files of the same name in it are replaced." if folder else "It is replaced."
            ask = Ask(f"Overwrite {target}?", text, yes="o")
            if await self.ask(ask) != "o":
                return
        box, file = self.frame.feed.box, self.name_of(path)
        async with self._transfer(f"saving {path}", self.size_of(path)) as progress:
            await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
            if folder:
                await box.get_files(file, target, progress=progress)
            else:
                await box.save_file(file, target, progress=progress)
        recursive = "-r " if folder else ""
        self.did(f"get file {recursive}{shlex.quote(file)} -o {shlex.quote(str(target))}")
        self.frame.notice(f"saved {target}")

    @asynccontextmanager
    async def _transfer(
        self, what: str, whole: int = 0
    ) -> AsyncIterator[Callable[[int, int], None]]:
        """Shows how far a transfer is; what it gives may be called on any thread."""
        done = 0

        def at(size_bytes: int, files: int) -> None:
            nonlocal done
            done = size_bytes

        def tell() -> None:
            self.progress(f"{what}: {size(done)}" + (f" of {size(whole)}" if whole else ""))

        tell()
        timer = self.set_interval(0.2, tell)
        try:
            yield at
        except OSError as e:
            raise InvalidArgument(f"{what}: {e.strerror or e}") from e
        finally:
            timer.stop()
            self.progress("")

    async def do_editor(self) -> None:
        """A copy of the file in $EDITOR, else the pager; a changed one can be put back."""
        path = self.selected()[0]
        if path.endswith("/") or self.size_of(path) > EDITED:
            self.frame.notice("an editor is given files of at most 256 MiB; ctrl+s saves others")
            return
        words = program("VISUAL", "EDITOR", "PAGER", default="less")
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="pachybox-"))
        copy = folder / path.rpartition("/")[2]
        await self.frame.feed.box.save_file(self.name_of(path), copy)
        self.looked(f"get file {shlex.quote(self.name_of(path))} | ${{PAGER:-less}}")
        before = (await asyncio.to_thread(copy.stat)).st_mtime_ns
        try:
            with self.app.suspend():
                subprocess.run([*words, str(copy)], check=False)
        except SuspendNotSupported:
            self.frame.notice(f"no terminal for an editor here; the file is in {copy}")
            return
        except OSError as e:
            self.frame.notice(f"{words[0]}: {e.strerror}; the file is in {copy}", error=True)
            return
        if (await asyncio.to_thread(copy.stat)).st_mtime_ns != before and not await self._put_back(
            copy, path
        ):
            self.frame.notice(f"what was changed is in {copy}")
            return
        with contextlib.suppress(OSError):
            copy.unlink()
            folder.rmdir()

    async def _put_back(self, copy: Path, path: str) -> bool:
        opened = is_open(self.commit)
        ref = self.commit.id if opened and self.commit else self.branch
        if not ref or self.frame.read_only:
            return False
        target = f"{self.repo}@{ref}:{path}"
        text = "It was changed in the editor. This puts it as one commit."
        if await self.ask(Ask(f"Put {path} back to {ref}?", text)) != "y":
            return False
        await self.frame.feed.box.put_file(target, str(copy))
        there, here = shlex.quote(target), shlex.quote("./" + copy.name)
        edit = f"get file {there} -o {here} && ${{EDITOR:-vi}} {here}"
        self.did(f"{edit} && pachybox put file {there} -f {here}")
        await self.refresh_all()
        return True


def _taken(target: Path, folder: bool) -> bool:
    return target.exists() and (not folder or not target.is_dir() or any(target.iterdir()))
