"""What a spec with transform.build becomes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pachybox import builders
from pachybox.client.build_plan import Plan, asks
from pachybox.errors import InvalidArgument

INPUT = {"pfs": {"repo": "words", "glob": "/*"}}


def spec(build: Any, **change: Any) -> dict[str, Any]:
    return {
        "pipeline": {"name": "p", "project": {"name": "lab"}},
        "transform": {"build": build, "image": "python:3", "env": {"A": "b"}},
        "input": INPUT,
        **change,
    }


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text("pass\n")
    (tmp_path / "a,b.txt").write_text("six\n")
    (tmp_path / "requirements.txt").write_text("-r a,b.txt\n-c gone.txt\n")
    return tmp_path


def test_a_plan_is_two_specs_and_a_source(code: Path) -> None:
    given = spec({"language": "python", "path": code.name})
    before = repr(given)
    plan = Plan.of(given, code.parent)
    assert repr(given) == before
    assert (plan.pipeline, plan.repo, plan.builder) == ("lab/p", "lab/p_source", "lab/p_build")
    where = {"project": "lab", "branch": "master"}
    assert plan.document["input"]["cross"] == [
        {"pfs": {"name": "source", "repo": "p_source", **where, "glob": "/"}},
        {"pfs": {"name": "build", "repo": "p_build", "project": "lab", "branch": "build",
                 "glob": "/"}},
        INPUT,
    ]  # fmt: skip
    assert plan.document["transform"] == {
        "image": "python:3", "env": {"A": "b"}, "cmd": ["sh", "/pfs/build/run.sh"],
    }  # fmt: skip
    build = plan.build
    assert build["pipeline"] == {"name": "p_build", "project": {"name": "lab"}}
    assert build["output_branch"] == "build"
    assert build["transform"]["image"] == "python:3"
    assert build["transform"]["env"] == {"A": "b"}
    glob = r"/{.pachybox/*,a\,b.txt,gone.txt,requirements.txt}"
    assert build["input"]["group"][0]["pfs"]["glob"] == glob
    assert {".pachybox/build.sh", ".pachybox/run.sh", "main.py"} <= set(plan.source.files)


def test_a_builder_image_builds_by_its_own_scripts(code: Path) -> None:
    given = spec({"image": "go-build:1"})
    del given["transform"]["image"]
    plan = Plan.of(given, code)
    assert plan.build["transform"] == {
        "env": {"A": "b"}, "image": "go-build:1", "cmd": ["sh", "./build.sh"],
    }  # fmt: skip
    assert plan.build["input"]["pfs"]["glob"] == "/"
    assert plan.document["transform"]["image"] == "go-build:1"
    assert Plan.of(spec({"image": "go-build:1"}), code).document["transform"]["image"] == "python:3"
    assert not [path for path in plan.source.files if path.startswith(".pachybox")]


def test_an_image_is_taken_where_there_must_be_one(code: Path) -> None:
    given = spec({"language": "python"})
    del given["transform"]["image"]
    assert "image" not in Plan.of(given, code).document["transform"]
    for runner in ("podman", "kubernetes"):
        made = Plan.of(given, code, runner=runner)
        assert made.document["transform"]["image"] == "docker.io/library/python:3"
        assert made.build["transform"]["image"] == "docker.io/library/python:3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"transform": {"build": {}}}, "transform.build: has neither; set either"),
        ({"transform": {"build": {"language": "python", "image": "x"}}}, "are both set"),
        ({"transform": {"build": []}}, "expected an object"),
        ({"spout": {"overwrite": True}}, "a spout cannot have its source built"),
        ({"input": None}, "no input set"),
        ({"input": {"pfs": {"repo": "source", "glob": "/"}}}, 'an input is called "source"'),
        (
            {"input": {"cross": [INPUT, {"join": [{"pfs": {"name": "build", "repo": "x"}}]}]}},
            'an input is called "build"',
        ),
        ({"transform": {"build": {"language": "go"}}}, "there are: python, shell; use one of"),
        ({"transform": {"build": {"language": "shell"}}}, "has no main.sh"),
        (
            {"transform": {"build": {"language": "python", "path": "nowhere"}}},
            "there is no directory",
        ),
        (
            {"transform": {"build": {"language": "python", "path": "main.py"}}},
            "main.py is not a directory",
        ),
        ({"pipeline": {}}, "pipeline.name: missing"),
    ],
)
def test_what_is_refused(code: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Plan.of(spec({"language": "python"}, **change), code)
    assert said in str(caught.value)


def test_a_spec_from_elsewhere_has_no_source() -> None:
    with pytest.raises(InvalidArgument, match="the spec is not of this machine"):
        Plan.of(spec({"language": "python"}), None)


def test_which_specs_ask_for_it() -> None:
    assert asks({"transform": {"build": {}}})
    assert not any(map(asks, ({}, {"transform": None}, {"transform": {"build": None}})))


# ---- what python depends on


def needs(files: dict[str, str]) -> Any:
    return builders.find("python").reads(files, lambda name: files[name].encode())


@pytest.mark.parametrize(
    "line",
    ["-e .", "./lib", "..", "lib/one", "--find-links wheels", "-f=./w", "file:./x", ".[extra]"],
)
def test_a_requirement_in_the_source_makes_the_build_read_all_of_it(line: str) -> None:
    assert needs({"requirements.txt": f"six\n{line}\n"}).whole


@pytest.mark.parametrize(
    "line",
    [
        *("six", "-f https://x/y", "--find-links /opt/w", "-e git+https://x/y", "--no-index"),
        *("a @ https://h/x.whl", "https://h/x.whl", "file:///x.whl", "# ./x", "-r https://x/y.txt"),
    ],
)
def test_any_other_requirement_does_not(line: str) -> None:
    found = needs({"requirements.txt": f"{line}\n"})
    assert (found.whole, found.files) == (False, ("requirements.txt",))


def test_lists_that_lists_include() -> None:
    files = {"requirements.txt": "-r a/b.txt", "a/b.txt": "-c ../c.txt\n-r b.txt\n", "c.txt": ""}
    assert needs(files).files == ("requirements.txt", "a/b.txt", "c.txt")


def test_a_pyproject_gives_its_list() -> None:
    found = needs({"pyproject.toml": '[project]\ndependencies = ["six", "a>1"]\n'})
    assert found.made == {"requirements.txt": b"six\na>1\n"}
    assert needs({"pyproject.toml": "[tool.ruff]\n"}).made == {"requirements.txt": b""}
    assert not needs({"requirements.txt": "", "pyproject.toml": "["}).made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "cannot be read"),
        ('[project]\ndynamic = ["dependencies"]\n', "does not list its dependencies"),
        ('[tool.poetry.dependencies]\npython = "^3"\nsix = "*"\n', "does not list"),
        ("[project]\ndependencies = [1]\n", "is no list of texts"),
    ],
)
def test_a_pyproject_that_says_it_otherwise_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        needs({"pyproject.toml": text})
    assert said in str(caught.value)


def test_every_builder_has_its_scripts_and_they_parse() -> None:
    import subprocess

    for builder in builders.BUILDERS.values():
        for script in builders.SCRIPTS:
            subprocess.run(["sh", "-n", builder.folder / script], check=True)


def test_a_package_adds_a_builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "lisp_builder-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lisp-builder\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[pachybox.builders]\nlisp = lisp_builder:LISP\nlost = lisp_builder:__name__\n"
    )
    (tmp_path / "lisp_builder.py").write_text(
        "from pathlib import Path\nfrom pachybox.builders import Builder\n"
        "LISP = Builder('lisp', Path(__file__).parent, 'main.lisp', 'lisp:1')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert builders.find("lisp").main == "main.lisp"
    with pytest.raises(InvalidArgument, match="lisp_builder:__name__ is no builder"):
        builders.find("lost")
    with pytest.raises(InvalidArgument, match="there are: python, shell, lisp, lost"):
        builders.find("go")
