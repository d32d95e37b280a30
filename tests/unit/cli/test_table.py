"""Every command of Pachyderm is there or answers that it is not built; all have help."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pachybox.cli import docs
from pachybox.cli.app import find
from pachybox.cli.command import build
from pachybox.cli.table import NOT_BUILT, SECTIONS, commands

# pachctl's commands of both lines with their flags (1.11 and 2.12), as scripts may use them.
PACHCTL = """
create repo R -d X --description X --project P
update repo R -d X
inspect repo R --raw --full-timestamps -o json
list repo --raw --full-timestamps --type user --all -A --all-projects --project P -o yaml
delete repo R -f --force --all --split-txn -A --project P
create project P -d X
update project P -d X
inspect project P
list project
delete project P -f
start commit R@B -p X -m X --message X --description X
finish commit R@B -m X --description X -f
inspect commit R@C --raw --full-timestamps
list commit R@B -f X --from X -n 1 --all -x --origin user
flush commit R@B R@C -r X
wait commit R@C
subscribe commit R@B --from X --new --pipeline P --all --origin AUTO
delete commit R@C
delete commitV2 R@C -r
squash commit ID
squash commitV2 R@C -r
find commit R@C:/p --json --timeout 1
create branch R@B --head X -p R@C --provenance R@D
create branch R@B --trigger B --trigger-cron X --trigger-size 1MB --trigger-commits 3 --trigger-all
inspect branch R@B
list branch R
delete branch R@B -f
put file R@B:/p -f X -f Y -i X -r -o -p 3 -c --compress
put file R@B:/p --split line --target-file-datums 1 --target-file-bytes 1 --header-records 1
put file R@B -a --append --progress --full-path --untar --commit --overwrite
copy file R@B:/p R@C:/q -o -a --src-project P --dest-project Q
get file R@B:/p -r -o X -p 1 --offset 1 --retry --progress
inspect file R@B:/p
list file R@B:/p --history all --raw
glob file R@B:/*
diff file R@B:/p R@C:/p -s --name-only --diff-command X --no-pager --old-project P
delete file R@B:/p -r
fsck -f --zombie R@B --zombie-all
garbage-collect -m 10MB
create pipeline -f X -b -p -r X -u X --jsonnet X --arg a=b --dry-run
update pipeline -f X --reprocess -b -p -r X -u X --jsonnet X --arg a=b
inspect defaults --cluster
create defaults --cluster -f X --regenerate --reprocess --dry-run
update defaults --project X -f X --regenerate --reprocess --dry-run
delete defaults --cluster
edit pipeline P --editor X --reprocess -o json
extract pipeline P -o json
inspect pipeline P --raw
list pipeline P -s --spec --history all --state running -c ID -A
delete pipeline P --all -f --keep-repo --split-txn -A
start pipeline P
stop pipeline P
run pipeline P R@B R@C=X --job J
rerun pipeline P --reprocess
draw pipeline -c ID --box-width 10 --edge-height 3
validate pipeline -f X
check status -A
inspect job P@J -b
wait job J
list job -p P -o R@B -i R@B --history all --no-pager -x --state running -A
list job J
subscribe job P --new --state success
next datum --error X
flush job R@B -p P
stop job P@J
delete job P@J
list datum P@J --page 1 --pageSize 2 --status-only
list datum -f SPEC
inspect datum P@J D
restart datum P@J /a,/b
logs -p P -j J --job J --datum D --inputs X --master --worker -f -t 3 --tail 3 --raw --since 24h
start transaction
finish transaction
stop transaction
resume transaction ID
inspect transaction ID
list transaction
delete transaction ID
create secret -f X
list secret --raw
inspect secret S
delete secret S
delete all
edit metadata repo R add a=b edit c=d delete e replace {}
inspect cluster
version --client-only --raw --timeout 10s --enterprise
config get active-context
config set active-context N
config get context N
config set context N --overwrite
config update context N --pachd-address X --project P
config list context
config delete context N
config get metrics
config set metrics true
connect ADDR --alias N
completion bash
"""
UNBUILT = """
get object, get tag, mount, unmount, shell,
create snapshot, list snapshot, inspect snapshot, delete snapshot,
config import-kube, auth activate, auth login, auth logout, auth whoami, auth check repo,
auth get-robot-token, enterprise activate, enterprise get-state, idp list-connector,
license activate, debug profile, debug binary, debug dump, port-forward, deploy local, undeploy,
update-dash, restart cluster, kube-events, loki, list task, run pfs-load-test, run pps-load-test
"""
GLOBAL = ("-v", "--verbose", "--no-color", "-h")


@pytest.mark.parametrize("line", [line for line in PACHCTL.splitlines() if line])
def test_every_command_of_pachctl_and_its_flags_are_understood(line: str) -> None:
    name, rest = find(line.split(), commands())
    assert name, line
    module, summary = commands()[name]
    parser = build(name, summary, import_module(f"pachybox.cli.{module}").COMMANDS[name])
    parser.parse_args(rest)


@pytest.mark.parametrize("words", [part.strip() for part in UNBUILT.replace("\n", " ").split(",")])
def test_commands_that_are_not_built_say_so_by_name_and_exit_1(run: Any, words: str) -> None:
    done = run(*words.split(), "--some-flag", "x")
    assert done.status == 1
    assert done.out == ""
    assert "is not built" in done.err
    assert done.err.startswith(f"pachybox: {words.split()[0]}")
    assert done.err.count("\n") == 1


def test_nothing_is_both_built_and_not_built() -> None:
    assert not set(commands()) & set(NOT_BUILT)


def test_the_table_and_the_modules_agree() -> None:
    for parts in SECTIONS.values():
        for module, found in parts:
            assert list(import_module(f"pachybox.cli.{module}").COMMANDS) == list(found)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_an_example_that_parses(run: Any, name: str) -> None:
    import shlex

    done = run(*name.split(), "--help")
    assert done.status == 0
    assert f"usage: pachybox {name}" in done.out
    module, summary = commands()[name]
    assert summary[1:] in done.out
    command = import_module(f"pachybox.cli.{module}").COMMANDS[name]
    assert command.examples
    for example in command.examples:
        assert f"  $ pachybox {example}" in done.out or example.startswith("echo ")
        for part in re.split(r"[|;]", example):
            words = shlex.split(re.split(r"[<>]", part)[0])
            if words[:1] == ["pachybox"]:
                words = words[1:]
            found, rest = find(words, commands())
            if found == name:
                build(name, summary, command).parse_args(rest)


def test_the_overview_lists_every_command(run: Any) -> None:
    for argv in ((), ("--help",), ("-h",), ("help",)):
        done = run(*argv)
        assert done.status == 0
        for name, (_module, summary) in commands().items():
            assert re.search(rf"^  {name} +{re.escape(summary)}$", done.out, re.M)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="argparse lays out help otherwise")
def test_docs_of_the_command_line_are_up_to_date() -> None:
    assert docs.text() == docs.DOCS.read_text(), "run: python -m pachybox.cli.docs"


def test_topics_are_printed_by_noun_and_by_help(run: Any) -> None:
    assert run("commit").out == run("help", "commit").out
    assert "put file" in run("file").out
    assert "PACHYBOX_HOME" in run("help", "environment").out
    assert "usage: pachybox put file" in run("help", "put", "file").out


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        ("crate repo x", "create repo"),
        ("list repositories", "list repo"),
        ("get fle a@b:/c", "get file"),
        ("statsu", "status"),
    ],
)
def test_an_unknown_command_is_usage_and_suggests_the_nearest(
    run: Any, words: str, nearest: str
) -> None:
    done = run(*words.split())
    assert done.status == 2
    assert f"did you mean: pachybox {nearest}" in done.err
    assert done.err.count("\n") == 1


def test_a_verb_alone_lists_its_nouns(run: Any) -> None:
    done = run("create")
    assert done.status == 2
    assert "create repo" in done.err


def test_wrong_arguments_are_usage_in_one_line_with_the_help_to_read(run: Any) -> None:
    for argv in (("create", "repo"), ("list", "repo", "--nonsense"), ("list", "commit", "-n", "x")):
        done = run(*argv)
        assert done.status == 2
        assert done.err.startswith("pachybox: ")
        assert done.err.endswith(" --help\n")
        assert done.err.count("\n") == 1


def test_nouns_may_be_plural() -> None:
    assert find(["list", "repos", "x"], commands()) == ("list repo", ["x"])


def test_module_files_are_of_reasonable_length() -> None:
    folder = Path(docs.__file__).parent
    for module in folder.glob("*.py"):
        assert len(module.read_text().splitlines()) <= 400, module
