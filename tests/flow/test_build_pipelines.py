"""Source code as a versioned input: transform.build, create_python_pipeline."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client import (
    AsyncClient,
    Client,
    JobInfo,
    create_python_pipeline,
    parse_json_pipeline_spec,
    put_files,
)
from pachybox.client.functions import FunctionPipeline
from pachybox.errors import AlreadyExists, InvalidArgument
from tests.boxes import RealBox, eventually
from tests.wheels import wheel

_NUMBER = itertools.count()
ENDING = "!"
MAIN = """\
import os
from pathlib import Path

import stamp

for path in Path("/pfs/words").iterdir():
    Path("/pfs/out", path.name).write_text(f"{stamp.MARK} {path.read_text()} one")
"""


@pytest.fixture(scope="module")
def shared_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box whose python3 is the one of the tests, which has pip."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    box = RealBox(tmp_path_factory.mktemp("box") / "home", {"PATH": path}).start()
    box.client.create_repo("words")
    with box.client.put("words@master") as put:
        for word in ("ape", "bee", "cow"):
            put.data(f"/{word}", word.encode())
    yield box
    box.stop()


@pytest.fixture
def client(shared_box: RealBox) -> Client:
    return shared_box.client


@pytest.fixture
def name() -> str:
    return f"p{next(_NUMBER)}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Python source that needs a package, which pip finds in a directory."""
    wheel(tmp_path / "wheels", "stamp", "1.0", "MARK = 'first'\n")
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.py").write_text(MAIN)
    (code / "requirements.txt").write_text(
        f"--no-index\n--find-links {tmp_path / 'wheels'}\nstamp==1.0\n"
    )
    return code


def spec_of(name: str, **build: str) -> dict[str, object]:
    return {
        "pipeline": {"name": name},
        "transform": {"build": build},
        "input": {"pfs": {"repo": "words", "glob": "/*"}},
    }


def done(client: Client, pipeline: str, count: int = 1) -> list[JobInfo]:
    """The jobs of a pipeline, newest first, when there are as many and all ended."""

    def look() -> list[JobInfo]:
        jobs = list(client.list_job(pipeline))
        return jobs if len(jobs) >= count and all(job.done for job in jobs) else []

    return eventually(look, f"{count} jobs of {pipeline} end")


def built(client: Client, name: str) -> list[tuple[int, int]]:
    """(processed, skipped) of the jobs that build, oldest first."""
    return [(job.processed, job.skipped) for job in reversed(done(client, f"{name}_build"))]


def test_code_changes_run_without_building(
    shared_box: RealBox, client: Client, name: str, source: Path, tmp_path: Path
) -> None:
    """By the command line: a path from where the spec is, files left out, an update."""
    (source / ".pachignore").write_text("*.log\nnotes/*\n")
    (source / "deep").mkdir()
    (source / "deep" / "a.log").write_text("out")
    (source / "deep" / "b.log").symlink_to("/nowhere")
    (source / ".venv").mkdir()
    (source / ".venv" / "lib64").symlink_to(source)
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "main.pyc").write_text("out")
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(spec_of(name, language="python", path="code")))
    said = shared_box.run("create", "pipeline", "-f", str(spec))
    assert said.returncode == 0, said.stderr
    assert f"{name}: source uploaded as {name}_source@" in said.stderr
    (first,) = done(client, name)
    assert (first.state, first.processed) == ("JOB_SUCCESS", 3)
    assert client.get_file(f"{name}@master:/ape") == b"first ape one"
    files = [f.path for f in client.walk_file(f"{name}_source@master:/") if not f.is_dir]
    assert files == [
        *("/.pachignore", "/.pachybox/build.sh", "/.pachybox/run.sh"),
        *("/main.py", "/requirements.txt"),
    ]
    assert built(client, name) == [(1, 0)]

    (source / "main.py").write_text(MAIN.replace("one", "two"))
    said = shared_box.run("update", "pipeline", "-f", str(spec))
    assert said.returncode == 0, said.stderr
    newest = eventually(
        lambda: next((j for j in client.list_job(name) if j.id != first.id), None), "a new job"
    )
    jobs = done(client, name, 2)
    assert (jobs[0].id, jobs[0].state, jobs[0].processed) == (newest.id, "JOB_SUCCESS", 3)
    assert client.get_file(f"{name}@master:/bee") == b"first bee two"
    assert built(client, name) == [(1, 0), (0, 1)]
    # the commit of the source, the building and the output are one run
    (uploaded,) = re.findall(rf"{name}_source@(\w+)", said.stderr)
    assert uploaded == newest.id
    above = client.inspect_commit(f"{name}@master").raw["directProvenance"]
    assert f"{name}_source" in {c["repo"]["name"] for c in above if c["id"] == uploaded}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Source in sh, which needs nothing."""
    code = tmp_path / "plain"
    code.mkdir()
    (code / "main.sh").write_text("cp /pfs/words/* /pfs/out/\n")
    return code


def test_an_update_that_changes_nothing_uploads_and_runs_nothing(
    client: Client, name: str, plain: Path
) -> None:
    source, spec = plain, spec_of(name, language="shell")
    client.build_pipeline(spec, source)
    (first,) = done(client, name)
    with pytest.raises(AlreadyExists, match="update pipeline"):
        client.build_pipeline(spec, source)
    made = client.build_pipeline(spec, source, update=True)
    assert (made.version, made.created) == (2, False)
    assert len(list(client.list_commit(f"{name}_source@master"))) == 1
    newest = done(client, name)[0]
    assert newest.id != first.id
    assert (newest.processed, newest.skipped) == (0, 3)
    assert built(client, name) == [(1, 0)]
    # and with --reprocess all of it is done again
    client.build_pipeline(spec, source, update=True, reprocess=True)
    assert done(client, name)[0].processed == 3
    assert built(client, name)[-1] == (1, 0)
    # as it is for another image, or other settings of pip
    spec["transform"]["env"] = {"A": "b"}  # type: ignore[index]
    client.build_pipeline(spec, source, update=True)
    assert built(client, name)[-1] == (1, 0)


def test_other_packages_are_built_and_files_that_are_gone_leave(
    client: Client, name: str, source: Path, tmp_path: Path
) -> None:
    (source / "old.txt").write_text("x")
    spec = spec_of(name, language="python")
    client.build_pipeline(spec, source)
    done(client, name)
    wheel(tmp_path / "wheels", "stamp", "2.0", "MARK = 'second'\n")
    listed = (source / "requirements.txt").read_text()
    (source / "requirements.txt").write_text("-r more/list.txt\n")
    (source / "more").mkdir()
    (source / "more" / "list.txt").write_text(listed.replace("1.0", "2.0"))
    (source / "old.txt").unlink()
    client.build_pipeline(spec, source, update=True)
    done(client, name, 2)
    assert client.get_file(f"{name}@master:/cow") == b"second cow one"
    files = [f.path for f in client.walk_file(f"{name}_source@master:/")]
    assert "/more/list.txt" in files
    assert "/old.txt" not in files


@pytest.mark.parametrize("listed", ["# nothing\n", 'six; python_version < "3"\n'])
def test_requirements_that_yield_nothing(
    client: Client, name: str, source: Path, listed: str
) -> None:
    (source / "requirements.txt").write_text(listed)
    (source / "main.py").write_text("open('/pfs/out/there', 'w').write('yes')\n")
    client.build_pipeline({**spec_of(name, language="python"), "input": whole()}, source)
    done(client, name)
    assert client.get_file(f"{name}@master:/there") == b"yes"


def whole() -> dict[str, object]:
    return {"pfs": {"repo": "words", "glob": "/"}}


def test_packages_that_cannot_be_had_fail_the_job_and_say_so(
    client: Client, name: str, source: Path
) -> None:
    (source / "requirements.txt").write_text("--no-index\nnowhere-to-be-found\n")
    client.build_pipeline(spec_of(name, language="python"), source)
    (job,) = done(client, f"{name}_build")
    assert job.state == "JOB_FAILURE"
    assert any("nowhere-to-be-found" in line.message for line in client.logs(f"{name}_build"))
    (run,) = done(client, name)
    assert run.state == "JOB_UNRUNNABLE"
    assert f"{name}_build" in run.reason


def test_packages_of_a_pyproject(client: Client, name: str, source: Path, tmp_path: Path) -> None:
    """Its list alone is what the build depends on; pip's settings come by the environment."""
    (source / "requirements.txt").unlink()
    project = '[project]\nname = "x"\nversion = "{}"\ndependencies = ["stamp<2"]\n'
    (source / "pyproject.toml").write_text(project.format(1))
    spec = spec_of(name, language="python")
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    spec["transform"]["env"] = settings  # type: ignore[index]
    client.build_pipeline(spec, source)
    done(client, name)
    assert client.get_file(f"{name}@master:/ape") == b"first ape one"
    (source / "pyproject.toml").write_text(project.format(2))
    client.build_pipeline(spec, source, update=True)
    done(client, name, 2)
    assert built(client, name) == [(1, 0), (0, 1)]


BACKEND = """\
import zipfile
def build_wheel(folder, *more):
    open("mark", "w").close()  # builders write beside what they build
    name = "own-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as packed:
        packed.writestr("own.py", "MARK = 'own'")
        about = "Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n"
        packed.writestr("own-1.dist-info/METADATA", about)
        packed.writestr("own-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        packed.writestr("own-1.dist-info/RECORD", "")
    return name
"""


def test_packages_within_the_source(client: Client, name: str, source: Path) -> None:
    library = source / "lib"
    library.mkdir()
    (library / "backend.py").write_text(BACKEND)
    (library / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (source / "requirements.txt").write_text("--no-index\n-e ./lib\n")
    (source / "main.py").write_text(MAIN.replace("stamp", "own"))
    client.build_pipeline(spec_of(name, language="python"), source)
    done(client, name)
    assert client.get_file(f"{name}@master:/ape") == b"own ape one"


def test_shell_with_a_build_of_its_own(client: Client, name: str, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.sh").write_text(
        'for f in /pfs/words/*; do /pfs/build/x "$f" "$1"; done\n'.replace(
            "/pfs/build/x", "sh x.sh"
        )
    )
    (code / "x.sh").write_text(
        'echo "$(cat /pfs/build/mark) $(cat "$1") $2" >/pfs/out/$(basename $1)\n'
    )
    spec = spec_of(name, language="shell")
    spec["transform"]["cmd"] = ["sh", "/pfs/build/run.sh", "arg"]  # type: ignore[index]
    (code / "build.sh").write_text("cat words >/pfs/out/mark\n")
    (code / "words").write_text("made")
    client.build_pipeline(spec, code)
    done(client, name)
    assert client.get_file(f"{name}@master:/ape") == b"made ape arg\n"
    (code / "words").write_text("changed")  # what its own build.sh reads is not known
    client.build_pipeline(spec, code, update=True)
    done(client, name, 2)
    assert built(client, name) == [(1, 0), (1, 0)]
    assert client.get_file(f"{name}@master:/ape") == b"changed ape arg\n"


def test_the_box_checks_but_does_not_make_what_has_its_source_elsewhere(
    shared_box: RealBox, client: Client, name: str, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(spec_of(name, language="python", path="nowhere")))
    for command in ("validate pipeline", "create pipeline --dry-run", "create pipeline"):
        said = shared_box.run(*command.split(), "-f", str(spec))
        assert said.returncode == 1
        assert f"{spec}: there is no directory {tmp_path / 'nowhere'}" in said.stderr
    with pytest.raises(InvalidArgument, match=r"transform.build.*pachybox create pipeline"):
        client.create_pipelines(spec_of(name, language="python"))
    # what the box refuses leaves nothing behind
    spec.write_text(json.dumps({**spec_of(name, language="shell"), "datum_tries": "many"}))
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "main.sh").write_text("true\n")
    assert "datum_tries" in shared_box.run("create", "pipeline", "-f", str(spec)).stderr
    spec.write_text(json.dumps(spec_of(name, language="shell")))
    assert shared_box.cli("validate", "pipeline", "-f", str(spec)) == f"{name}: valid\n"
    shared_box.cli("create", "pipeline", "--dry-run", "-f", str(spec))
    assert not [r for r in client.list_repo() if r.name.startswith(f"{name}_")]


def test_several_specs_of_one_text(shared_box: RealBox, client: Client, tmp_path: Path) -> None:
    """YAML on stdin, relative to where the command runs; one reads the other."""
    (tmp_path / "main.sh").write_text("cp /pfs/many/* /pfs/out/\n")
    text = """\
pipeline: {name: many}
transform:
  cmd: [sh]
  stdin: ["cp /pfs/words/* /pfs/out/"]
input: {pfs: {repo: words, glob: /}}
---
pipeline: {name: again}
description: no
transform: {build: {language: shell, path: %s}}
input: {pfs: {repo: many, glob: "/*"}}
"""
    shared_box.cli("create", "pipeline", stdin=(text % tmp_path).encode())
    done(client, "again")
    assert [f.path for f in client.list_file("again@master:/")] == ["/ape", "/bee", "/cow"]
    assert client.inspect_pipeline("again").description == "no"
    assert "again_build" in shared_box.cli("list", "pipeline", "--dag")


def test_what_cannot_be_uploaded_leaves_all_as_it_is(
    client: Client, name: str, plain: Path
) -> None:
    client.create_repo(f"{name}_source", "mine")
    client.put_file(f"{name}_source@master:/data", b"data")
    with pytest.raises(AlreadyExists, match="another name"):
        client.build_pipeline(spec_of(name, language="shell"), plain)
    assert client.inspect_repo(f"{name}_source").description == "mine"
    assert [f.path for f in client.list_file(f"{name}_source@master:/")] == ["/data"]
    client.delete_repo(f"{name}_source")
    bad = os.fsencode(plain) + b"/bad\xff"
    with open(bad, "w"), pytest.raises(InvalidArgument, match="is not a UTF-8 name"):
        client.build_pipeline(spec_of(name, language="shell"), plain)
    Path(os.fsdecode(bad)).unlink()
    assert not [repo for repo in client.list_repo() if repo.name.startswith(f"{name}_")]
    client.create_repo(f"{name}_source")  # an empty one will do
    client.build_pipeline(spec_of(name, language="shell"), plain)


def test_what_is_extracted_makes_it_again(client: Client, name: str, plain: Path) -> None:
    client.build_pipeline(spec_of(name, language="shell"), plain)
    (first,) = done(client, name)
    text = client.extract_pipeline(name)
    client.delete_pipeline(name)
    client.create_pipelines(text)
    (again,) = done(client, name)
    assert again.id != first.id
    assert client.get_file(f"{name}@master:/ape") == b"ape"
    client.delete_pipeline(name)
    client.delete_pipeline(f"{name}_build")
    assert client.delete_repo(f"{name}_source")


# ---- python-pachyderm's way


def test_create_python_pipeline_of_a_directory(client: Client, source: Path) -> None:
    with pytest.raises(InvalidArgument, match="makes the transform itself"):
        create_python_pipeline(client, source, transform={})
    words = {"pfs": {"repo": "words", "glob": "/*"}}
    with pytest.raises(InvalidArgument, match=r"no main.py"):
        create_python_pipeline(client, source.parent / "wheels", words)
    (source / "requirements.txt").unlink()
    (source / "main.py").write_text(MAIN.replace("import stamp", "").replace("stamp.MARK", "1"))
    made = create_python_pipeline(
        client, f"{source}/", words, env={"A": "b"}, datum_tries=2, description="of words"
    )
    assert (made.name, made.effective_spec["datum_tries"]) == ("code", 2)
    done(client, "code")
    assert client.get_file("code@master:/ape") == b"1 ape one"
    assert client.inspect_pipeline("code").description == "of words"
    (source / "build.sh").write_text("echo made >/pfs/out/mark\n")
    (source / "run.sh").write_text("cp /pfs/build/mark /pfs/out/$(ls /pfs/words)\n")
    create_python_pipeline(client, source, words, debug=True, update=True)
    done(client, "code")
    assert client.get_file("code@master:/ape") == b"made\n"
    assert any(line.message == "+ ls /pfs/words" for line in client.logs("code"))
    assert any(line.message == "+ echo made" for line in client.logs("code_build"))


async def test_create_python_pipeline_of_a_file(
    shared_box: RealBox, client: Client, tmp_path: Path
) -> None:
    code = tmp_path / "alone.py"
    code.write_text("import os\nopen('/pfs/out/said', 'w').write(os.environ['SAY'])\n")
    async with AsyncClient(str(shared_box.socket)) as box:
        await box.create_python_pipeline(code, env={"SAY": "hi"}, output_branch="told")
    done(client, "alone")
    assert client.get_file("alone@told:/said") == b"hi"
    assert client.get_file("alone_source@master:/main.py") == code.read_bytes()


def test_a_project_has_its_own(shared_box: RealBox, tmp_path: Path) -> None:
    (tmp_path / "main.sh").write_text("cat /pfs/words/* >/pfs/out/all\n")
    with Client(str(shared_box.socket), project="lab") as lab:
        lab.create_project("lab")
        spec = spec_of("all", language="shell")
        spec["input"] = {"pfs": {"project": "default", **whole()["pfs"]}}  # type: ignore[dict-item]
        lab.build_pipeline(spec, tmp_path)
        done(lab, "all")
        assert lab.get_file("all@master:/all") == b"apebeecow"
        assert {repo.name for repo in lab.list_repo()} == {"all", "all_build", "all_source"}


def test_helpers_of_python_pachyderm(client: Client, name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    client.create_repo(name)
    put_files(client, tmp_path, (name, "master"), "/in")
    assert client.get_file(f"{name}@master:/in/a") == b"a"
    assert parse_json_pipeline_spec('{"pipeline": {"name": "a"}}') == {"pipeline": {"name": "a"}}
    with pytest.raises(InvalidArgument, match="no spec"):
        parse_json_pipeline_spec("[]")


# ---- functions


def shout(words: Path, out: Path) -> None:
    """Words, louder."""
    (out / words.name).write_text(words.read_text().upper() + ENDING)


def test_a_function_is_a_pipeline(
    client: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = FunctionPipeline(shout, "words:/*", name=name)
    made = pipeline.deploy(client)
    assert (made.name, made.created) == (name, True)
    done(client, name)
    assert client.get_file(f"{name}@master:/ape") == b"APE!"
    assert pipeline.deploy(client).version == 1
    assert len(done(client, name)) == 1
    monkeypatch.setitem(globals(), "ENDING", "?")
    pipeline.deploy(client)
    assert done(client, name, 2)[0].processed == 3
    assert client.get_file(f"{name}@master:/ape") == b"APE?"
    assert built(client, name) == [(1, 0), (0, 1)]
    assert client.inspect_pipeline(name).description == "Words, louder."
