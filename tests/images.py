"""Base images for tests, made on this machine out of its own files: nothing is pulled.

An image is made once a machine and stays in podman's storage for the next run: its tag names what
it was made of, ``localhost/pachybox-test/NAME:HASH``. Processes of pytest-xdist and other runs
wait for each other. To be rid of them all::

    podman rmi $(podman images -q --filter label=pachybox-test)

* ``busybox``: a static busybox and its applets, users ``root``, ``nobody`` and ``app`` (1000)
* ``odd``: the same with an entrypoint, a command, a user, a working directory and variables
* ``static``: no shell; users, and a wordcount in C (examples/languages) as ``/bin/wordcount``
* ``scratch``: that program as ``/usr/bin/wordcount`` and nothing else at all
* ``python``: this interpreter's standard library and pip below ``/usr/local``, on busybox
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.util
import io
import json
import os
import platform
import resource
import shutil
import site
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORDCOUNT = ROOT / "examples" / "languages" / "wordcount.c"
PREFIX = "localhost/pachybox-test"

USERS = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
USERS += "daemon:x:1:1::/:/bin/false\nbin:x:2:2::/bin:/bin/false\n"
USERS += "app:x:1000:1000::/home/app:/bin/sh\n"
GROUPS = (
    "root:x:0:\ndaemon:x:1:\nbin:x:2:\nmail:x:8:\nnogroup:x:65534:\napp:x:1000:\nstaff:x:50:app\n"
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEFT_OUT = {"test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages"}
LEFT_OUT |= {"dist-packages", "EXTERNALLY-MANAGED"}


@dataclass(frozen=True)
class Entry:
    """One entry of an image: a file of this machine, or its bytes, or a link, or a directory."""

    path: str
    source: Path | None = None
    content: bytes | None = None
    link: str = ""
    mode: int = 0o755

    def facts(self) -> list[object]:
        """What tells this entry from another one."""
        at = self.source.stat() if self.source else None
        known = [at.st_size, at.st_mtime_ns] if at else []
        text = hashlib.sha256(self.content or b"").hexdigest()
        return [self.path, str(self.source), text, self.link, self.mode, *known]

    def add_to(self, tar: tarfile.TarFile) -> None:
        """Append it, as root's."""
        if self.source is not None:
            info = tar.gettarinfo(self.source.resolve(), self.path)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            with self.source.open("rb") as file:
                tar.addfile(info, file)
            return
        info = tarfile.TarInfo(self.path)
        info.mode = self.mode
        if self.link:
            info.type, info.linkname = tarfile.SYMTYPE, self.link
        elif self.content is None:
            info.type = tarfile.DIRTYPE
        else:
            info.size = len(self.content)
        tar.addfile(info, io.BytesIO(self.content or b""))


@dataclass(frozen=True)
class Recipe:
    """What an image is made of; ``changes`` are instructions as of a Containerfile."""

    name: str
    entries: list[Entry] = field(default_factory=list)
    changes: tuple[str, ...] = ()

    @functools.cached_property
    def tag(self) -> str:
        facts = json.dumps([self.changes, *(entry.facts() for entry in self.entries)])
        return f"{PREFIX}/{self.name}:{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


# ---- can containers be run here


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """podman, as a program; never raises."""
    command = ["podman", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def ulimits() -> list[str]:
    """Options of ``podman run`` within our hard limits: what podman asks for may be above them."""
    kinds = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    pids = int(Path("/proc/sys/kernel/pid_max").read_text())  # podman has no more itself
    hard = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    return [f"--ulimit={name}={min(most, pids)}" for name, most in hard.items() if most > 0]


def podman() -> str:
    """Why no container can be run here, in one line, or "": tried once a process, for real."""
    return _found()[0]


def runtime() -> list[str]:
    """The options of podman by which it starts containers here; none where its own choice does."""
    return _found()[1]


@functools.cache
def _found() -> tuple[str, list[str]]:
    if os.geteuid() != 0:
        return "containers take root", []
    for program in ("podman", "conmon", "busybox"):
        if not (shutil.which(program) or Path(f"/usr/libexec/podman/{program}").exists()):
            return f"containers need {program}, which is not installed", []
    said = ""
    try:
        tag = made(_busybox())
        for options in _runtimes():
            done = run(*options, "run", "--rm", "--network=none", *ulimits(), tag, "true")
            if done.returncode == 0:
                return "", options
            said = said or done.stderr.strip()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        said = str(error)
    last = said.splitlines()[-1][:300] if said else "it says nothing"
    return f"podman runs no container here: {last}", []


def _runtimes() -> Iterator[list[str]]:
    """podman's own choice first; then each that is installed."""
    yield []
    for name in ("crun", "runc"):
        if shutil.which(name):
            yield ["--runtime", name]


def needed() -> None:
    """Skip the test where no container can be run; says what is missing."""
    if reason := podman():
        pytest.skip(reason)


def image(name: str) -> str:
    """The tag of one of the images of this module, made when it is not there yet; skips where no
    container can be run."""
    needed()
    return made(_recipe(name))


@functools.cache
def _recipe(name: str) -> Recipe:
    """Once a process: that of Python looks at hundreds of files, and has ldd read half of them."""
    return RECIPES[name]()


def own(tag: str) -> str:
    """A busybox like no other, as ``tag``, for who wants to delete it: its id."""
    recipe = _busybox("own", f"LABEL own={tag}-{os.urandom(8).hex()}")
    with folder_of_mine():
        _import(recipe, tag)
    return run("image", "inspect", "--format={{.Id}}", tag).stdout.strip()


@contextmanager
def container(image: str) -> Iterator[str]:
    """A container that waits, of no box: its id."""
    options = ["--rm", "--detach", "--network=none", *ulimits()]
    done = run(*runtime(), "run", *options, image, "sleep", "1000")
    if done.returncode:
        raise RuntimeError(f"podman run: {done.stderr}")
    name = done.stdout.strip()
    try:
        yield name
    finally:
        run("rm", "--force", "--time=0", name)


# ---- fixtures


@pytest.fixture(scope="session")
def busybox_image() -> str:
    """A shell and its small programs: the tag."""
    return image("busybox")


@pytest.fixture(scope="session")
def odd_image() -> str:
    """busybox with everything set that an image can say about its process: the tag."""
    return image("odd")


@pytest.fixture(scope="session")
def static_image() -> str:
    """No shell, no libc, as "distroless": the tag."""
    return image("static")


@pytest.fixture(scope="session")
def scratch_image() -> str:
    """One file, ``/usr/bin/wordcount``: the tag."""
    return image("scratch")


@pytest.fixture(scope="session")
def python_image() -> str:
    """Python with pip: the tag."""
    return image("python")


# ---- recipes


def _users() -> list[Entry]:
    folders = [Entry(name) for name in ("etc", "tmp", "root", "home", "srv")]
    folders[1] = Entry("tmp", mode=0o1777)
    texts = {"etc/passwd": USERS, "etc/group": GROUPS}
    return folders + [Entry(at, content=text.encode(), mode=0o644) for at, text in texts.items()]


def _busybox(name: str = "busybox", *changes: str) -> Recipe:
    program = Path(shutil.which("busybox") or "/bin/busybox").resolve()
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    applets = [applet for applet in listed.stdout.split() if applet != "busybox"]
    entries = [*_users(), Entry("bin"), Entry("bin/busybox", source=program)]
    entries += [Entry(f"bin/{applet}", link="busybox") for applet in applets]
    entries += [Entry("usr"), Entry("usr/bin"), Entry("usr/bin/env", link="/bin/env")]
    return Recipe(name, entries + _libraries([program]), (f"ENV PATH={PATH}", *changes))


def _odd() -> Recipe:
    return _busybox(
        "odd",
        'ENTRYPOINT ["/bin/false"]',
        'CMD ["never"]',
        "USER app",
        "VOLUME /kept",
        "WORKDIR /srv",
        "ENV GREETING=hello",
        "ENV PLACE=image",
    )


def _static() -> Recipe:
    entries = [*_users(), Entry("bin"), Entry("bin/wordcount", source=static(WORDCOUNT))]
    return Recipe("static", entries, (f"ENV PATH={PATH}", "USER nobody"))


def _scratch() -> Recipe:
    return Recipe("scratch", [Entry("usr/bin/wordcount", source=static(WORDCOUNT))])


def _python() -> Recipe:
    library = Path(sysconfig.get_path("stdlib"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    binary = Path(os.path.realpath(sys.executable))
    packages = "dist" if any("dist-packages" in at for at in site.getsitepackages()) else "site"
    into = f"usr/local/lib/{version}"
    entries = [*_busybox().entries, Entry("usr/local"), Entry("usr/local/bin")]
    entries += [Entry(f"usr/local/bin/{version}", source=binary)]
    entries += [Entry(f"usr/local/bin/{name}", link=version) for name in ("python3", "python")]
    entries += [Entry("usr/local/lib"), *_folder(library, into)]
    entries += [Entry(f"{into}/{packages}-packages"), *_pip(f"{into}/{packages}-packages")]
    extensions = sorted((library / "lib-dynload").glob("*.so"))
    return Recipe("python", entries + _libraries([binary, *extensions]), (f"ENV PATH={PATH}",))


def _folder(source: Path, into: str) -> Iterator[Entry]:
    """A folder of Python's, without tests and what only a desktop needs."""
    yield Entry(into)
    for path in sorted(source.iterdir()):
        if path.name in LEFT_OUT or path.name.startswith("config-"):
            continue
        if path.is_dir():
            yield from _folder(path, f"{into}/{path.name}")
        elif path.is_file():
            yield Entry(f"{into}/{path.name}", source=path)


def _pip(into: str) -> Iterator[Entry]:
    """The pip that is installed here, and its metadata."""
    found = importlib.util.find_spec("pip")
    if found is None or found.origin is None:
        return
    home = Path(found.origin).parent
    for folder in (home, *home.parent.glob("pip-*.dist-info")):
        yield from _folder(folder, f"{into}/{folder.name}")


def _libraries(programs: list[Path]) -> list[Entry]:
    """The shared libraries that programs need, beside libc, and their loader where it is named."""
    command = ["ldd", *map(str, programs)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    lines = [line.split() for line in told.splitlines() if line.startswith("\t")]
    found = {Path(words[2]) for words in lines if words[1:2] == ["=>"] and words[2][:1] == "/"}
    loaders = {Path(words[0]) for words in lines if words[0][:1] == "/" and "=>" not in words}
    beside = {path.parent for path in found if path.name == "libc.so.6"}
    entries = [Entry(str(path)[1:], source=path) for path in loaders]
    for path in found:
        entries += [Entry(f"{str(home)[1:]}/{path.name}", source=path) for home in beside]
    return sorted(entries, key=lambda entry: entry.path)


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "busybox": _busybox,
    "odd": _odd,
    "static": _static,
    "scratch": _scratch,
    "python": _python,
}


# ---- making them


@contextmanager
def folder_of_mine() -> Iterator[Path]:
    """A folder that stays from run to run; held by one process at a time."""
    folder = Path(tempfile.gettempdir()) / f"pachybox-test-images-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{folder} is another user's")
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def made(recipe: Recipe) -> str:
    """The recipe's tag, after making the image if need be; RuntimeError with podman's words."""
    tag = recipe.tag
    with folder_of_mine():
        if run("image", "exists", tag).returncode:
            _import(recipe, tag)
    return tag


def _import(recipe: Recipe, tag: str) -> None:
    command = ["podman", "import", "--quiet"]
    for change in (*recipe.changes, f"LABEL pachybox-test={recipe.name}"):
        command += ["--change", change]
    with tempfile.TemporaryFile() as packed, tempfile.TemporaryFile() as said:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for entry in recipe.entries:
                entry.add_to(tar)
        packed.seek(0)
        done = subprocess.run([*command, "-", tag], stdin=packed, stdout=said, stderr=said)
        said.seek(0)
        if done.returncode:
            raise RuntimeError(f"podman import: {said.read().decode().strip()}")


def static(source: Path) -> Path:
    """A C program compiled against musl by ziglang, with the flags of the shim, whose C library is
    made already; once for each source."""
    name = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    with folder_of_mine() as folder:
        program = folder / f"{source.stem}-{name}"
        if not program.exists():
            target = ["-target", f"{platform.machine()}-linux-musl", "-static", "-Os", "-s"]
            fresh = program.with_suffix(".new")
            command = [sys.executable, "-m", "ziglang", "cc", *target, "-o", str(fresh)]
            subprocess.run([*command, str(source)], check=True, capture_output=True, text=True)
            fresh.rename(program)
    return program
