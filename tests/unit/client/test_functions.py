"""What of a function is sent: the program made of it runs by itself, or it is refused by name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import xml.etree.ElementTree
from json import dumps as written
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pachybox
from pachybox.client.function_source import text_of
from pachybox.client.functions import FunctionPipeline
from pachybox.errors import InvalidArgument

LIMITS = {"most": 3, "names": ("a", None, b"x")}
PATTERN = re.compile("x")


class Seen:
    """Counts."""

    def __init__(self) -> None:
        self.times = LIMITS["most"]


def helper(text: str) -> str:
    return f"{text}{Seen().times}"


@pachybox.pipeline("words@master:/*", requirements=["six"])
def shout(path: Path, out: Path) -> None:
    """Writes in capitals.

    And more."""
    tree = xml.etree.ElementTree.fromstring("<a/>")
    text = helper(path.read_text().upper()) + tree.tag + written(os.sep) + json.dumps(1)
    (out / path.name).write_text(text)


@pachybox.pipeline({"left": "a@b:/*", "right": "lab/c:/"})
def both(right: Path, first: Path, times: int = 2, *, out: Path) -> None:
    (out / "x").write_text(f"{right} {first} {times}")


def test_a_function_is_a_program_of_its_own(tmp_path: Path) -> None:
    source = shout.source()
    assert sorted(source.files) == ["main.py", "requirements.txt"]
    assert source.files["requirements.txt"] == b"six\n"
    program = tmp_path / "main.py"
    program.write_bytes(source.read("main.py"))
    (tmp_path / "out").mkdir()
    (tmp_path / "word").write_text("ape")
    env = {**os.environ, "PFS": str(tmp_path), "words": str(tmp_path / "word")}
    subprocess.run([sys.executable, "-I", program], env=env, check=True, cwd="/")
    assert (tmp_path / "out" / "word").read_text() == 'APE3a"/"1'
    # and it is a function as before
    (tmp_path / "bee").write_text("bee")
    shout(tmp_path / "bee", tmp_path / "out")
    assert (tmp_path / "out" / "bee").read_text() == 'BEE3a"/"1'
    assert shout.__name__ == shout.name == "shout"


def test_the_spec_of_a_function() -> None:
    assert shout.spec() == {
        "pipeline": {"name": "shout"},
        "description": "Writes in capitals.",
        "transform": {"build": {"language": "python"}},
        "input": {"pfs": {"name": "words", "repo": "words", "branch": "master", "glob": "/*"}},
    }
    assert both.spec()["input"] == {
        "cross": [
            {"pfs": {"name": "left", "repo": "a", "branch": "b", "glob": "/*"}},
            {
                "pfs": {
                    "name": "right", "repo": "c", "branch": "master", "glob": "/",
                    "project": "lab",
                }
            },
        ]
    }  # fmt: skip
    main = both.source().read("main.py").decode()
    assert "both(right=_Path(_os.environ.get('right') or f'{_pfs}/right'), first=_Path(" in main
    assert "_os.environ.get('left')" in main
    assert "times=" not in main.rpartition("both(")[2]


def refused(function: Any, *files: str) -> str:
    with pytest.raises(InvalidArgument) as caught:
        FunctionPipeline(function, "a@b:/", files=files).source()
    return str(caught.value)


def nothing(path: Path) -> None:
    undefined_name(path)  # type: ignore[name-defined]  # noqa: F821


def compiled(path: Path) -> None:
    PATTERN.match(str(path))


def test_what_cannot_be_sent_is_named() -> None:
    around = 3

    def inner(path: Path) -> None:
        print(around)

    assert refused(inner) == (
        "function inner cannot be sent with inner, which uses around of the function around it; "
        "define it at the top of its module, and give it what it needs"
    )
    assert "a lambda; define it by def" in refused(lambda path: None)
    assert "PATTERN, a Pattern of its module; make it inside the function" in refused(compiled)
    assert "undefined_name, which nothing uses and nothing defines" in refused(nothing)
    made: dict[str, Any] = {"__name__": "made"}
    exec("def typed(path): pass", made)
    assert "typed, whose source is not known" in refused(made["typed"])


def test_parameters_that_do_not_go_with_the_input_are_refused() -> None:
    def many(a: Path, b: Path) -> None: ...

    def spread(*paths: Path) -> None: ...

    with pytest.raises(InvalidArgument, match=r"many has no input for its parameter b.*inputs: x"):
        FunctionPipeline(many, "x@master:/")
    with pytest.raises(InvalidArgument, match=r"spread has the parameter \*paths"):
        FunctionPipeline(spread, "x@master:/")
    with pytest.raises(InvalidArgument, match=r"'x' is not an input; write REPO@BRANCH:GLOB"):
        FunctionPipeline(many, "x")


def test_modules_beside_the_function_are_asked_for_and_then_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "friend_of_it.py").write_text("def word(): return 'friend'\n")
    (tmp_path / "program_of_it.py").write_text(
        textwrap.dedent("""\
        import friend_of_it
        from friend_of_it import word as said

        def run(path, out):
            out.write_text(friend_of_it.word() + said())
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    import program_of_it  # type: ignore[import-not-found]

    friend = str(tmp_path / "friend_of_it.py")
    assert f"the module friend_of_it beside it; give it too: files=[{friend!r}]" in refused(
        program_of_it.run
    )
    text = text_of(program_of_it.run, frozenset({"friend_of_it.py"}))
    assert "from friend_of_it import word as said\nimport friend_of_it\n" in text
    sent = FunctionPipeline(program_of_it.run, "a@b:/", files=[friend]).source()
    assert sorted(sent.files) == ["friend_of_it.py", "main.py"]


def test_modules_of_the_same_package_are_asked_for_wherever_they_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "pack_of_it"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "friend.py").write_text("def word(): return 'friend'\n")
    (package / "job.py").write_text(
        textwrap.dedent("""\
        from .friend import word

        def run(path):
            word()

        def whole(path):
            import os, pack_of_it.friend

        def relative(path):
            from . import friend
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    import pack_of_it.job as job  # type: ignore[import-not-found]

    for function in (job.run, job.whole):
        assert f"pack_of_it beside it; give it too: files=[{str(package)!r}]" in refused(function)
        FunctionPipeline(function, "a@b:/", files=[package]).source()
    assert "a relative import; import it by its whole name" in refused(job.relative, str(package))


def test_what_is_no_function_to_call_is_refused(tmp_path: Path) -> None:
    class Some:
        def method(self, path: Path) -> None: ...

        @staticmethod
        async def later(path: Path) -> None:
            path.write_text("ran")

    def yields(path: Path) -> Any:
        yield path

    for what, said in (
        (Some.method, r"Some.method is a method"),
        (Some().method, "is no function; define one by def"),
        (yields, "yields is a generator"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            FunctionPipeline(what, "a@b:/")
    with pytest.raises(InvalidArgument, match=r"is not an input; @pachybox\.pipeline"):
        pachybox.pipeline(yields)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=r"requirements=\['six'\]"):
        FunctionPipeline(nothing, "a@b:/", requirements="six")
    program = tmp_path / "main.py"
    program.write_bytes(FunctionPipeline(Some.later, "a@b:/").source().read("main.py"))
    env = {**os.environ, "a": str(tmp_path / "out")}
    subprocess.run([sys.executable, "-I", program], env=env, check=True)
    assert (tmp_path / "out").read_text() == "ran"


def test_a_function_of_a_notebook() -> None:
    """Its module is no file; its text comes from where the notebook's inspection finds it."""
    import linecache

    klass = "@str\nclass Wrong\n", "import os\n\nclass Thing:\n    at = 1\n"
    for number, text in enumerate(klass):
        name = f"<class {number}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    text = "def cell(path, out):\n    return SIZE + path + Thing.at\n"
    linecache.cache["<cell 1>"] = (len(text), None, text.splitlines(keepends=True), "<cell 1>")
    around: dict[str, Any] = {"__name__": "notebook", "SIZE": 4}
    sys.modules["notebook"] = ModuleType("notebook")
    try:
        exec(compile(klass[1], "<class 1>", "exec"), around)
        exec(compile(text, "<cell 1>", "exec"), around)
        made = text_of(around["cell"])
    finally:
        del sys.modules["notebook"]
    shown = "class Thing:\n    at = 1\n"
    assert made == f"from __future__ import annotations\n\nSIZE = 4\n\n{shown}\n{text}"
