"""What every runner keeps. Real processes, no mocks; a runner joins by a line in conftest.WAYS."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pachybox.errors import Refused
from pachybox.pps.runners.base import DatumResult, Layout, WorkerLost
from tests.contract.conftest import inputs

if TYPE_CHECKING:
    from tests.contract.conftest import Lab

# Every way out of the family known to us: new session, double fork, deafness to SIGTERM.
_ESCAPE = """
setsid sh -c 'trap "" TERM INT HUP; sleep 1000' &
sh -c 'setsid sh -c "sleep 1000 & sleep 1001 &" &' &
(trap "" TERM; while :; do sleep 1000; done) >/dev/null 2>&1 </dev/null &
"""


def test_a_datum_reads_its_inputs_and_writes_its_outputs(lab: Lab) -> None:
    ran = lab.sh("mkdir -p /pfs/out/deep\ncat /pfs/data/a.txt > /pfs/out/deep/copy\necho done")
    assert ran.result.ok, ran.result
    assert ran.result.exit_code == 0
    assert ran.result.reason == ""
    assert ran.out("deep/copy") == b"hello\n"
    assert ran.lines == ["done"]


def test_one_worker_runs_datum_after_datum_each_with_its_own_pfs(lab: Lab) -> None:
    worker = lab.worker(["sh"], stdin=("ls /pfs; cat /pfs/*/x > /pfs/out/x",))
    for name in ("one", "two", "three"):
        task = lab.task({f"{name}/x": name.encode()})
        assert worker.run(task).ok
        assert (task.out / "x").read_bytes() == name.encode()
        seen = [line for line in task.log.read_text().splitlines() if "message" in line]
        assert len(seen) == 3  # data, out and its own


def test_names_may_hold_anything_a_file_system_takes(lab: Lab) -> None:
    names = ["data/new\nline", "data/ünï ☃", 'data/"quoted" $HOME `x`', "data/d/-rf", "wéird in/x"]
    task = lab.task({name: name.encode() for name in names})
    raw = os.fsencode(inputs(task)) + b"/data/\xff\xfe"
    with open(raw, "wb") as file:
        file.write(b"not utf-8")
    ran = lab.sh('cp -r /pfs/data /pfs/out/\ncp -r "/pfs/wéird in" /pfs/out/', task)
    assert ran.result.ok, ran.lines
    for name in names:
        assert ran.out(name) == name.encode()
    with open(os.fsencode(task.out) + b"/data/\xff\xfe", "rb") as file:
        assert file.read() == b"not utf-8"


def test_large_files_go_through(lab: Lab) -> None:
    block = os.urandom(1 << 20) * 40
    ran = lab.sh("cp /pfs/big/b /pfs/out/b", inputs={"big/b": block})
    assert ran.result.ok
    assert ran.out("b") == block


def test_the_exit_status_is_the_reason(lab: Lab) -> None:
    ran = lab.sh("exit 3")
    assert not ran.result.ok
    assert (ran.result.exit_code, ran.result.signal) == (3, None)
    assert ran.result.reason == "exit status 3"


def test_an_accepted_return_code_is_success(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", "exit 3"], accept_return_code=(3, 4))
    result = worker.run(lab.task())
    assert result.ok
    assert result.exit_code == 3
    assert result.reason == ""


def test_a_deadly_signal_is_named(lab: Lab) -> None:
    result = lab.sh("kill -SEGV $$").result
    assert not result.ok
    assert (result.exit_code, result.signal) == (None, 11)
    assert result.reason == "killed by signal 11 (SIGSEGV)"


@pytest.mark.parametrize(
    ("cmd", "reason"),
    [
        (["no-such-program", "x"], "command not found: no-such-program"),
        (["/pfs/data/nothing"], "command not found: "),
        (["/etc/passwd"], "cannot run /etc/passwd is not executable"),
        (["/"], "cannot run / is a directory"),
    ],
)
def test_a_command_that_cannot_run_is_named(lab: Lab, cmd: list[str], reason: str) -> None:
    result = lab.worker(cmd).run(lab.task())
    assert not result.ok
    assert result.reason.startswith(reason)
    assert result.exit_code is None


def test_a_script_without_interpreter_is_explained(lab: Lab) -> None:
    for content, reason in (
        (b"#!/no/such/interpreter\n", "the interpreter its first line names does not exist"),
        (b"echo hello\n", "not a program; a script's first line must be like #!/bin/sh"),
    ):
        task = lab.task({"code/run": content})
        (inputs(task) / "code" / "run").chmod(0o755)
        result = lab.worker(["/pfs/code/run"]).run(task)
        assert not result.ok
        assert reason in result.reason


def test_no_shell_is_involved(lab: Lab) -> None:
    task = lab.task()
    assert lab.worker(["echo", "$HOME", "a  b", ";", "*"]).run(task).ok
    assert '"$HOME a  b ; *"' in task.log.read_text()


def test_stdin_is_the_lines_and_a_final_newline_or_nothing(lab: Lab) -> None:
    task = lab.task()
    assert lab.worker(["sh", "-c", "cat > /pfs/out/in"], stdin=("one", "", "thrée")).run(task).ok
    assert (task.out / "in").read_text() == "one\n\nthrée\n"
    task = lab.task()
    assert lab.worker(["sh", "-c", "cat > /pfs/out/in"]).run(task).ok
    assert (task.out / "in").read_bytes() == b""


def test_code_that_does_not_read_its_stdin_is_no_failure(lab: Lab) -> None:
    stdin = ("x" * 1000,) * 2000
    assert lab.worker(["true"], stdin=stdin).run(lab.task()).ok
    assert lab.worker(["sh", "-c", "exec <&-; exit 0"], stdin=stdin).run(lab.task()).ok
    task = lab.task()
    assert lab.worker(["sh", "-c", "wc -c > /pfs/out/n"], stdin=stdin).run(task).ok
    assert int((task.out / "n").read_text()) == 2_002_000


def test_the_environment_is_the_pipelines_and_the_datums(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACHYBOX_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    worker = lab.worker(["env"], env={"MINE": "1", "PACH_JOB_ID": "forged"})
    task = lab.task(env={"PACH_JOB_ID": "job", "data": "/pfs/data/a.txt"})
    assert worker.run(task).ok
    text = task.log.read_text()
    assert '"MINE=1"' in text
    assert '"PPS_X=pipeline"' in text
    assert '"PACH_JOB_ID=job"' in text
    assert '"PATH=' in text
    assert '"HOME=' in text
    assert "secret" not in text


def test_paths_in_the_environment_lead_to_the_files(lab: Lab) -> None:
    task = lab.task(env={"data": "/pfs/data/a.txt"})
    assert lab.worker(["sh", "-c", 'cat "$data" > $PFS/out/copy']).run(task).ok
    assert (task.out / "copy").read_bytes() == b"hello\n"


def test_the_working_directory_is_the_transforms_or_the_root(lab: Lab) -> None:
    for given, expected in (("", "/"), ("/usr", "/usr"), ("usr/../usr", "/usr")):
        task = lab.task()
        assert lab.worker(["pwd"], working_dir=given).run(task).ok
        assert f'"message": "{expected}"' in task.log.read_text()
    result = lab.worker(["pwd"], working_dir="/no/such/place").run(lab.task())
    assert result.reason == "working directory /no/such/place: No such file or directory"


def test_the_err_cmd_runs_in_place_of_the_cmd_and_sees_what_it_left(lab: Lab) -> None:
    worker = lab.worker(
        ["sh", "-c", "echo part > /pfs/out/part; exit 1"],
        err_cmd=("sh",),
        err_stdin=("cat /pfs/out/part /pfs/data/a.txt; exit 7",),
        accept_return_code=(7,),
    )
    task = lab.task()
    assert not worker.run(task).ok
    result = worker.run(replace(task, err_cmd=True))
    assert result.ok
    assert '"part"' in task.log.read_text()
    assert '"hello"' in task.log.read_text()


def test_inputs_cannot_be_changed_where_they_may_be_links(lab: Lab) -> None:
    if not lab.runner.presents.links:
        pytest.skip("this way's inputs are copies")
    task = lab.task({"data/d/deep": b"x"})
    ran = lab.sh(
        """
        echo x > /pfs/data/a.txt; echo x >> /pfs/data/a.txt; rm -f /pfs/data/a.txt
        chmod 777 /pfs/data/a.txt; touch /pfs/data/a.txt; mv /pfs/data/d /pfs/data/e
        truncate -s 0 /pfs/data/d/deep; ln /pfs/data/a.txt /pfs/out/link; mkdir /pfs/more
        umount /pfs/data; umount -l /pfs/data; umount /pfs; mount -o remount,rw /pfs/data
        mount -o remount,rw,bind /pfs/data && echo x > /pfs/data/a.txt
        mount --bind /tmp /pfs/data; mount -t tmpfs none /pfs/data
        unshare -rm sh -c 'umount /pfs/data; mount -o remount,rw,bind /pfs/data; umount /pfs
            echo x > /pfs/data/a.txt'
        unshare -m true && echo x > /pfs/data/a.txt
        cat /pfs/data/a.txt > /pfs/out/a
        """,
        task,
    )
    assert ran.result.ok
    assert ran.out("a") == b"hello\n"
    assert sorted(os.listdir(task.out)) == ["a"]
    assert (inputs(task) / "data" / "a.txt").read_bytes() == b"hello\n"
    assert (inputs(task) / "data" / "a.txt").stat().st_nlink == 1
    assert (inputs(task) / "data" / "d" / "deep").read_bytes() == b"x"


def test_the_boxs_own_files_are_out_of_reach(lab: Lab) -> None:
    if not lab.runner.presents.links:
        pytest.skip("this way hides nothing")
    store = lab.home / "store"
    store.mkdir()
    (store / "blob").write_bytes(b"precious")
    lab.own(store)
    ran = lab.sh(f"cd {lab.home} && ls -A; echo x > {store}/blob; rm -rf {store}; mkdir {store}")
    assert not ran.result.ok
    assert not any(line in ("store", "work") for line in ran.lines)
    assert (store / "blob").read_bytes() == b"precious"
    # a datum of another box is no way of this one's: it may run beside this test
    ran = lab.sh(
        f"""
        for p in /proc/[0-9]*; do
            if grep -qzE '^(MARK|PACH_JOB_ID)=' $p/environ && ! grep -qzx MARK=$MARK $p/environ
            then continue; fi
            echo x > $p/root{store}/blob; echo x > $p/cwd{store}/blob
        done
        unshare -rm sh -c 'umount {lab.home}; echo x > {store}/blob'
        """
    )
    assert (store / "blob").read_bytes() == b"precious"


def test_nothing_of_a_datum_outlives_it(lab: Lab) -> None:
    ran = lab.sh(_ESCAPE + "echo > /pfs/out/ended")
    assert ran.result.ok
    assert ran.out("ended") == b"\n"
    assert lab.alive() == []


def test_a_datum_over_its_time_is_killed_with_all_it_started(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", _ESCAPE + "trap '' TERM\nsleep 1000"])
    began = time.monotonic()
    result = worker.run(lab.task(timeout_s=0.3))
    assert not result.ok
    assert result.timed_out
    assert not result.cancelled
    assert result.reason == "timed out after 0.3s"
    assert 0.3 <= result.process_s < 50
    assert time.monotonic() - began < 50
    assert lab.alive() == []


def test_cancel_kills_the_datum_and_the_worker_goes_on(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", _ESCAPE + "echo > /pfs/out/begun; sleep 1000"])
    worker.cancel()  # nothing runs: nothing happens
    for _ in range(2):
        join = lab.begin(worker, lab.task())
        worker.cancel()
        result = join()
        assert not result.ok
        assert result.cancelled
        assert result.reason == "cancelled"
        assert lab.alive() == []


def test_a_cancel_that_comes_late_touches_no_later_datum(lab: Lab) -> None:
    worker = lab.worker(["true"])
    for _ in range(20):
        join = lab.begin(worker, lab.task())
        worker.cancel()
        first = join()
        assert first.ok or first.cancelled
        assert worker.run(lab.task()).ok


def test_code_that_attacks_its_parents_harms_only_itself(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", _ESCAPE + "kill -9 $PPID; kill -9 0; exit 0"])
    result = worker.run(lab.task())
    assert isinstance(result, DatumResult)
    assert not result.ok
    assert lab.alive() == []
    assert isinstance(worker.run(lab.task()), DatumResult)


def test_code_that_closes_its_descriptors_and_goes_on_is_waited_for(lab: Lab) -> None:
    script = "exec >&- 2>&- <&-; sleep 0.1; touch /pfs/out/late"
    task = lab.task()
    assert lab.worker(["sh", "-c", script], stdin=("x",)).run(task).ok
    assert (task.out / "late").exists()


def test_closing_the_worker_kills_the_datum_under_way(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", _ESCAPE + "echo > /pfs/out/begun; sleep 1000"])
    join = lab.begin(worker, lab.task())
    worker.close()
    assert lab.alive() == []
    assert join().cancelled
    worker.close()
    with pytest.raises(WorkerLost, match="closed"):
        worker.run(lab.task())


def test_a_flood_of_output_is_bounded_in_the_log(lab: Lab) -> None:
    ran = lab.sh("yes | head -c 20000000\nhead -c 20000000 /dev/zero\necho; echo end")
    assert ran.result.ok
    assert ran.task.log.stat().st_size <= (16 << 20) + 1000
    assert b"bytes of output were dropped" in ran.task.log.read_bytes()[-200:]


def test_output_is_text_line_by_line_whatever_it_is(lab: Lab) -> None:
    ran = lab.sh(r"""printf 'a\nb\r\nc\377\ntab\t"q"\\ \001\n\n' ; echo err >&2; printf 'no end'""")
    assert ran.lines == ["a", "b", "c\ufffd", 'tab\t"q"\\ \x01', "", "err", "no end"]


def test_long_lines_are_cut(lab: Lab) -> None:
    ran = lab.sh("head -c 70000 /dev/zero | tr '\\0' x; echo; echo next")
    assert ran.lines[0] == "x" * 65536 + " ... 4464 bytes more"
    assert ran.lines[1] == "next"
    assert ran.lines[2].startswith("4464 bytes of output were dropped")


def test_the_log_is_appended_to(lab: Lab) -> None:
    worker = lab.worker(["echo", "again"])
    task = lab.task()
    worker.run(task)
    worker.run(task)
    assert task.log.read_text().count("again") == 2


def test_what_a_datum_cost_is_measured(lab: Lab) -> None:
    result = lab.sh("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 0.05").result
    assert result.cpu_s > 0.01
    assert result.process_s > 0.05
    result = lab.sh("head -c 30000000 /dev/zero | tail -n 1 | wc -c").result
    assert result.peak_rss_bytes > 25_000_000


def test_a_user_is_switched_to_or_refused_by_name(lab: Lab) -> None:
    if not lab.may_switch_user:
        with pytest.raises(Refused, match="daemon") as e:
            lab.worker(["id"], user="daemon")
        assert "as root" in e.value.hint
        return
    lab.home.chmod(0o755)
    for user, expected in (
        ("nobody", "65534 65534 65534 nobody"),
        ("daemon:mail", "1 8 8 daemon"),
        ("1234:4321", "1234 4321 4321 root"),
        ("2", "2 2 2 bin"),
    ):
        task = lab.task()
        (inputs(task).parent).chmod(0o755)
        worker = lab.worker(
            ["sh"], stdin=('echo $(id -u) $(id -g) $(id -G) $USER; cp /pfs/data/a.txt $PFS/out/',)
            , user=user, env={} if expected[-4:] != "root" else {"USER": "root"},
        )  # fmt: skip
        result = worker.run(task)
        assert result.ok, (result, task.log.read_text())
        assert f'"{expected}"' in task.log.read_text()
        made = (task.out / "a.txt").stat()
        assert f"{made.st_uid} {made.st_gid}" == " ".join(expected.split()[:2])


def test_an_unknown_user_or_group_is_refused_by_name(lab: Lab) -> None:
    with pytest.raises(Refused, match="user 'nobody-such' does not exist"):
        lab.worker(["id"], user="nobody-such")
    with pytest.raises(Refused, match="group 'no-such-group' does not exist"):
        lab.worker(["id"], user="nobody:no-such-group")


def test_a_transform_without_a_command_is_refused(lab: Lab) -> None:
    with pytest.raises(Refused, match="nothing to run"):
        lab.worker([])


def test_special_files_and_links_in_out_are_left_for_the_collector(lab: Lab) -> None:
    ran = lab.sh("cd /pfs/out; mkfifo pipe; ln -s /pfs/data/a.txt link; ln -s nowhere dangling")
    assert ran.result.ok, ran.lines
    assert (ran.task.out / "pipe").is_fifo()
    assert (ran.task.out / "dangling").readlink() == Path("nowhere")
    assert (ran.task.out / "link").is_symlink()


def test_inputs_that_are_missing_fail_the_datum_not_the_worker(lab: Lab) -> None:
    worker = lab.worker(["true"])
    task = lab.task()
    broken = replace(task, layout=Layout(tree=inputs(task) / "gone"))
    result = worker.run(broken)
    assert not result.ok
    assert "cannot set up the datum" in result.reason
    assert worker.run(task).ok


def test_signals_are_as_a_shell_expects_them(lab: Lab) -> None:
    ran = lab.sh("yes | head -1; grep -E '^Sig(Blk|Ign)' /proc/self/status")
    assert ran.result.ok
    assert ran.lines[0] == "y"
    for line in ran.lines[1:]:  # the C library keeps 32 and 33 for itself
        assert int(line.split()[1], 16) & 0x7FFFFFFF == 0, line


def test_a_named_pipe_can_be_where_it_writes(lab: Lab) -> None:
    task = lab.task()
    pipe = task.out.with_name("pipe")
    os.mkfifo(pipe, 0o600)
    lab.own(pipe.parent)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        task = replace(task, out=pipe, endless=True)
        ran = lab.sh("for n in 1 2 3; do echo $n > /pfs/out; done\ntest -p /pfs/out", task)
        assert ran.result.ok, ran.lines
        assert os.read(end, 100) == b"1\n2\n3\n"
        assert os.read(end, 100) == b"", "nobody has it open for writing"
    finally:
        os.close(end)


# whoever runs it, the daemon writes it
@pytest.mark.parametrize("lab", ["shim", "python"], indirect=True)
def test_the_log_of_a_program_need_not_end(lab: Lab) -> None:
    task = lab.task()
    lines = lab.worker(["sh", "-c", "seq 3000000"]).run(
        replace(task, endless=True, log=task.log.with_name("long.jsonl"))
    )
    assert lines.ok
    parts = list(task.log.parent.glob("long*.jsonl"))
    assert len(parts) == 4
    assert any('"3000000"' in part.read_text() for part in parts)
