"""The tree that the one file unpacks: Python, its library, the packages, pachybox, their licences.

All Python lies in one folder, ``lib/python3.X``, so that starting takes no ``site`` and looks in
one place. The interpreter is a small program of ours (stub/launcher.c) over libpython.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from appliance.binary.carried import write as write_licences
from appliance.binary.elf import Elf, is_elf
from appliance.licences import distributions
from pachybox.errors import Refused

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("appliance", "k3s", "pachybox", "spouts", "tui")

# What no part of the program imports: other front ends, tests, installers, and what would bring
# libraries under other licences (readline) or of no use on a server (Tk).
_LIBRARY_WITHOUT = {
    *("__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter"),
    *("turtledemo", "turtle.py", "ensurepip", "lib2to3", "venv", "pydoc_data", "distutils"),
    *("EXTERNALLY-MANAGED", "sitecustomize.py"),
}
_EXTENSIONS_WITHOUT = (
    *("_tkinter.*", "readline.*", "_curses*", "_dbm.*", "_gdbm.*", "nis.*", "ossaudiodev.*"),
    *("_crypt.*", "spwd.*", "_uuid.*", "_test*", "_ctypes_test*", "_xxtest*", "xxlimited*"),
    *("_bz2.*", "_lzma.*"),
)
_PACKAGE_WITHOUT = (
    *("*/tests/*", "*/testing/tests/*", "*.pyi", "*.pxd", "*.pyx", "*.h", "*.c", "*.a", "*.pyc"),
    *("numpy/f2py/*", "numpy/_core/_*_tests*", "numpy/_pyinstaller/*", "numpy/conftest.py"),
    *("zstandard/_cffi*", "zstandard/backend_cffi.py", "../*", "*/INSTALLER"),
    *("*/direct_url.json", "*/REQUESTED"),
)
# The C library and its loader are the machine's, as are GCC's, which every Debian and Ubuntu has.
SYSTEM = {
    *("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"),
    *("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libresolv.so.2", "libnsl.so.1"),
    *("libgcc_s.so.1", "libstdc++.so.6"),
}


def libpython() -> Path:
    """The library of this interpreter. Raises Refused where it was built without."""
    name, folder = sysconfig.get_config_vars("INSTSONAME", "LIBDIR")
    for place in (folder, sysconfig.get_config_var("LIBPL"), f"/usr/lib/{_triplet()}"):
        path = Path(str(place)) / str(name)
        if path.suffix != ".a" and path.is_file():
            return path
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = next(Path(f"/usr/lib/{_triplet()}").glob(f"libpython{version}.so.1*"), None)
    if found:
        return found
    raise Refused(
        f"{sys.executable} has no libpython{version}.so to put into the binary",
        f"apt-get install libpython{version}, or build Python with --enable-shared",
    )


def _triplet() -> str:
    return str(sysconfig.get_config_var("MULTIARCH"))


def make(target: Path) -> None:
    """Fill ``target``, an empty folder, with all but the launcher. Raises Refused, OSError."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = target / "lib" / version
    library.mkdir(parents=True)
    _standard_library(library)
    for one in distributions():
        _package(one, library)
    for name in PACKAGES:
        _own(name, library)
    _metadata(library)
    own = libpython()
    shutil.copyfile(own, target / "lib" / own.name)
    _libraries(target)
    write_licences(library / "appliance" / "inside", sorted((target / "lib").glob("*.so*")))
    _trim(target, library / "lib-dynload")
    _compile(library)


def _standard_library(library: Path) -> None:
    source = Path(sysconfig.get_path("stdlib"))
    for path in sorted(source.iterdir()):
        if path.name in _LIBRARY_WITHOUT or path.name.startswith(("config-", "LICENSE")):
            continue
        if path.name == "lib-dynload":
            _extensions(path, library / path.name)
        elif path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "test", "tests", "*.exe", "idle_test")
            shutil.copytree(path, library / path.name, ignore=ignored)
        elif path.suffix == ".py":
            shutil.copyfile(path, library / path.name)


def _extensions(source: Path, target: Path) -> None:
    target.mkdir()
    for path in sorted(source.glob("*.so")):
        if not any(fnmatch(path.name, left) for left in _EXTENSIONS_WITHOUT):
            shutil.copyfile(path, target / path.name)


def _package(one: importlib.metadata.Distribution, library: Path) -> None:
    for file in one.files or ():
        name = file.as_posix()
        if any(fnmatch(name, left) for left in _PACKAGE_WITHOUT):
            continue
        source = Path(str(one.locate_file(file)))
        if source.is_file():
            target = library / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _own(name: str, library: Path) -> None:
    """One of our packages, with its sources: some are read by users' programs."""
    shutil.copytree(ROOT / name, library / name, ignore=shutil.ignore_patterns("__pycache__"))


def _metadata(library: Path) -> None:
    """What says which packages pachybox asks for."""
    known = importlib.metadata.distribution("pachybox")
    folder = library / f"pachybox-{known.version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(known.read_text("METADATA") or "")


def elves(tree: Path) -> Iterator[Path]:
    """Every program and library below a folder."""
    return (path for path in sorted(tree.rglob("*")) if path.is_file() and is_elf(path))


def _libraries(target: Path) -> None:
    """Copy the machine's libraries that the extensions of the standard library ask for."""
    places = libraries_here()
    todo = list(elves(target))
    there = {path.name for path in todo}
    while todo:
        for name in Elf(todo.pop()).needed():
            if name in SYSTEM or name in there:
                continue
            if name not in places:
                raise Refused(f"{name} is needed, and this machine has it not", "install it")
            made = target / "lib" / name
            shutil.copyfile(places[name], made)
            there.add(name)
            todo.append(made)


def libraries_here() -> dict[str, Path]:
    """The libraries that the loader of this machine finds, by name."""
    program = shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if program is None:
        raise Refused("ldconfig is missing", "build on a machine with glibc")
    said = subprocess.run([program, "-p"], capture_output=True, text=True, check=True).stdout
    found: dict[str, Path] = {}
    for line in said.splitlines()[1:]:
        name, _, rest = line.strip().partition(" ")
        if "x86-64" in rest or "AArch64" in rest:
            found.setdefault(name, Path(rest.rpartition("=> ")[2]))
    return found


def _trim(target: Path, extensions: Path) -> None:
    """Cut off what no loader reads; have the standard library find its libraries here."""
    for path in elves(target):
        if "shim" in path.parts:
            continue  # ours, and small: stays as it was built
        elf = Elf(path)
        if path.parent == extensions:
            elf.runpath("$ORIGIN/../..")
        elif path.parent == target / "lib":
            elf.runpath("$ORIGIN")
        path.write_bytes(elf.loaded())


def _compile(library: Path) -> None:
    """Compile everything; only our own packages keep their sources."""
    own = re.compile(f"^{re.escape(str(library))}/({'|'.join(PACKAGES)})/")
    _compiled(library, library, but=own)
    for name in PACKAGES:
        _compiled(library / name, library)
    for path in library.rglob("*.py"):
        # What could not be compiled (templates, other versions' syntax) stays as it is.
        if not own.match(str(path)) and path.with_suffix(".pyc").exists():
            path.unlink()


def _compiled(folder: Path, library: Path, but: re.Pattern[str] | None = None) -> None:
    """Compile what is below a folder: beside the sources, or where there is a ``but`` of what is
    left out, in their place."""
    compileall.compile_dir(
        folder,
        quiet=2,
        workers=2,
        rx=but,
        legacy=but is not None,
        stripdir=library,
        # no look at the source at each import
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
