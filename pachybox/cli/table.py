"""Every command by name: what it is, which module has it, and which are known but not built.

The only thing ``pachybox --help`` needs. A test holds it against the modules.
"""

from __future__ import annotations

# section -> (module, {command: summary})
SECTIONS: dict[str, tuple[tuple[str, dict[str, str]], ...]] = {
    "The box": (
        (
            "box",
            {
                "up": "start the box",
                "down": "stop the box",
                "status": "show what runs where, and how much there is",
                "version": "show the versions of this command and of the box",
                "inspect cluster": "show the box's id",
                "fsck": "check that nothing is missing or inconsistent",
                "garbage-collect": "free the space of deleted data now",
                "delete all": "delete every pipeline, repo and secret",
            },
        ),
        ("scrub", {"scrub": "show how far all content is proven, or read and prove it now"}),
        ("doctor", {"doctor": "say what is wrong with this machine and this box, and the remedy"}),
        ("support", {"support bundle": "put what is needed to look for a fault into one file"}),
        (
            "backup",
            {
                "extract": "write the whole box to one file",
                "restore": "fill an empty box from such a file",
            },
        ),
        (
            "upgrade",
            {"upgrade": "put another version in the place of this one, and back if need be"},
        ),
        (
            "cert",
            {
                "cert": "make a certificate, so that the doors speak TLS",
                "cert show": "show the box's certificate, and how clients trust it",
                "cert renew": "make a new certificate by the same CA",
            },
        ),
        (
            "service",
            {
                "install": "make the box a service that starts with the machine",
                "uninstall": "take the service away; its data stays",
            },
        ),
        (
            "k3s",
            {
                "k3s install": "bring k3s onto this machine from a directory or a USB stick",
                "k3s import": "bring images of podman, or of archives, into k3s",
                "k3s status": "show what of k3s is installed, and what is wrong with it",
                "k3s uninstall": "take k3s away; its data stays",
            },
        ),
        (
            "backups",
            {
                "backup create": "back the box up while it works: what changed since the last",
                "backup list": "list the backups in a place",
                "backup verify": "prove by reading that backups can be restored",
                "backup restore": "fill an empty box, or make a new one, from a backup",
                "backup prune": "remove old backups, and what only they needed",
            },
        ),
        ("events", {"events": "list what happened, and follow what happens"}),
        (
            "webhook",
            {
                "webhook list": "list the addresses that are told of events, and how that goes",
                "webhook test": "send a test to them",
            },
        ),
        ("dashboard", {"dashboard": "print the dashboard for Grafana, or alerts for Prometheus"}),
        ("demo", {"demo": "make a small DAG that stays alive, to look around with"}),
        ("licenses", {"licenses": "list what the program carries, and under which licences"}),
        ("tui", {"tui": "open the terminal: what runs, what there is, and keys for all of it"}),
    ),
    "Data": (
        (
            "project",
            {
                "create project": "make a project",
                "update project": "change a project's description",
                "inspect project": "show a project",
                "list project": "list the projects",
                "delete project": "delete a project",
            },
        ),
        (
            "repo",
            {
                "create repo": "make a repo",
                "update repo": "change a repo's description",
                "inspect repo": "show a repo",
                "list repo": "list the repos",
                "delete repo": "delete a repo with its history",
            },
        ),
        (
            "branch",
            {
                "create branch": "make or move a branch",
                "update branch": "set how a branch groups writes by S3",
                "inspect branch": "show a branch",
                "list branch": "list a repo's branches",
                "delete branch": "delete a branch; its commits stay",
            },
        ),
        (
            "commit",
            {
                "start commit": "open a commit",
                "finish commit": "close an open commit",
                "inspect commit": "show a commit",
                "list commit": "list commits",
                "wait commit": "wait until a commit is finished",
                "flush commit": "wait for all that follows from commits",
                "subscribe commit": "list a branch's commits, and new ones as they come",
                "find commit": "list the commits in which a path changed",
            },
        ),
        (
            "uncommit",
            {
                "delete commit": "delete a commit and what was made from it",
                "delete commitV2": "delete one head commit",
                "squash commit": "delete a run's commits, leaving their data to their children",
                "squash commitV2": "delete one commit, leaving its data to its child",
            },
        ),
        ("put", {"put file": "write files, as one commit"}),
        (
            "file",
            {
                "get file": "read files",
                "copy file": "copy a file or directory; no bytes move",
                "delete file": "delete files",
                "inspect file": "show a file",
                "list file": "list a directory",
                "glob file": "list the files and directories that match a pattern",
                "walk file": "list everything below a directory",
            },
        ),
        ("metadata", {"edit metadata": "change the keys and values kept of a thing"}),
        ("diff", {"diff file": "show what changed between two commits"}),
    ),
    "Ingest": (
        (
            "ingest",
            {
                "create ingest": "make sources that bring data in by themselves, from a spec",
                "update ingest": "change sources, or make them",
                "inspect ingest": "show a source: its rate, what it waits for, its last error",
                "list ingest": "list the sources, those of pipelines too",
                "pause ingest": "stop sources until they are resumed",
                "resume ingest": "let paused sources go on where they were",
                "run ingest": "do now what sources would do later",
                "edit ingest": "change a source's spec in an editor",
                "delete ingest": "delete sources; what they brought stays",
            },
        ),
        ("watch", {"watch": "have the box commit the files that come to a folder"}),
    ),
    "Pipelines": (
        (
            "pipeline",
            {
                "create pipeline": "make pipelines from a spec",
                "update pipeline": "change pipelines, or make them",
                "validate pipeline": "check a spec without making anything",
                "inspect pipeline": "show a pipeline",
                "list pipeline": "list the pipelines",
                "list image": "list the images that pipelines run, and which are missing",
                "check status": "list pipelines that need attention",
                "draw pipeline": "draw the graph of pipelines",
            },
        ),
        ("move", {"move pipeline": "have pipelines run by another runner"}),
        ("ci", {"ci": "check, build and run specs in a throw-away box"}),
        ("diff_pipeline", {"diff pipeline": "show what an update would change and run"}),
        (
            "edit",
            {
                "edit pipeline": "change a pipeline's spec in an editor",
                "extract pipeline": "print the spec that makes a pipeline again",
            },
        ),
        (
            "run",
            {
                "run pipeline": "run a pipeline on chosen commits",
                "run datum": "try a spec on some datums, without making anything",
                "rerun pipeline": "run a pipeline on the present heads",
                "run cron": "tick a pipeline's cron inputs now",
                "start pipeline": "resume a stopped pipeline",
                "stop pipeline": "pause a pipeline",
                "delete pipeline": "delete a pipeline",
            },
        ),
        ("dev", {"dev": "run code again at every save, on some datums, without committing"}),
        (
            "job",
            {
                "list job": "list jobs",
                "inspect job": "show a job",
                "wait job": "wait until a job has ended",
                "flush job": "wait for all jobs that follow from commits",
                "subscribe job": "list a pipeline's jobs, and each again as its state changes",
                "stop job": "kill a job",
                "delete job": "delete a job's record",
            },
        ),
        (
            "datum",
            {
                "list datum": "list a job's datums, or those of a spec",
                "inspect datum": "show a datum",
                "restart datum": "try a stuck datum again",
                "next datum": "get the next datum, in user code with datum_batching",
            },
        ),
        (
            "defaults",
            {
                "inspect defaults": "print what is laid under specs",
                "create defaults": "set what is laid under specs",
                "update defaults": "set what is laid under specs",
                "edit defaults": "change what is laid under specs in an editor",
                "delete defaults": "lay nothing under specs any more",
            },
        ),
        ("logs", {"logs": "print logs"}),
        (
            "secret",
            {
                "create secret": "keep a password or a key for pipelines",
                "inspect secret": "show a secret, not its values",
                "list secret": "list the secrets",
                "delete secret": "forget a secret",
            },
        ),
        (
            "token",
            {
                "create token": "let a caller in: as a reader, writer or admin",
                "list token": "list the tokens, not what they are",
                "delete token": "revoke a token",
                "audit": "show who changed what, and who was refused",
            },
        ),
    ),
    "Transactions": (
        (
            "transaction",
            {
                "start transaction": "queue what follows instead of doing it",
                "finish transaction": "do all that was queued, atomically",
                "stop transaction": "leave the transaction open and queue no more",
                "resume transaction": "queue into an open transaction again",
                "inspect transaction": "show what is queued",
                "list transaction": "list the open transactions",
                "delete transaction": "drop a transaction with all that was queued",
            },
        ),
    ),
    "This command": (
        (
            "config",
            {
                "config get active-context": "print the context in use",
                "config set active-context": "choose the context in use",
                "config get context": "print a context",
                "config set context": "make a context from JSON on stdin",
                "config update context": "change a context",
                "config list context": "list the contexts",
                "config delete context": "delete a context",
                "config get metrics": "print whether usage is reported: never",
                "config set metrics": "accepted for scripts; usage is never reported",
                "connect": "use the box at an address from now on",
            },
        ),
        (
            "settings",
            {
                "config get": "show the settings a box runs with, and where each came from",
                "config set": "change settings in box.toml",
                "config explain": "say what settings there are, and what they may be",
            },
        ),
        ("completion", {"completion": "print the completion script of a shell"}),
        ("help", {"help": "show a command's help, or a topic"}),
    ),
}

# Known from Pachyderm, not built: what it is, and what to do instead.
NOT_BUILT: dict[str, tuple[str, str]] = {
    "mount": ("mounting commits", "copy them out with: pachybox get file -r"),
    "unmount": ("mounting commits", "copy them out with: pachybox get file -r"),
    "shell": ("the interactive shell", "use: pachybox completion bash"),
    "exit": ("the interactive shell", "use: pachybox completion bash"),
    "create snapshot": ("making snapshots", "use: pachybox extract FILE, pachybox restore FILE"),
    "list snapshot": ("making snapshots", "use: pachybox extract FILE, pachybox restore FILE"),
    "inspect snapshot": ("making snapshots", "use: pachybox extract FILE, pachybox restore FILE"),
    "delete snapshot": ("making snapshots", "use: pachybox extract FILE, pachybox restore FILE"),
    "get object": ("raw storage access", "use: pachybox get file"),
    "get tag": ("raw storage access", "use: pachybox get file"),
    "run pfs-load-test": ("running load tests", ""),
    "run pps-load-test": ("running load tests", ""),
    "list task": ("the list of storage tasks", "use: pachybox events -f"),
    "restart cluster": ("restarting from a client", "use: pachybox down, then pachybox up"),
    "auth": ("logging in", "use: pachybox create token, then PACHYBOX_TOKEN"),
    "enterprise": ("licensing", "there is nothing to license"),
    "license": ("licensing", "there is nothing to license"),
    "idp": ("using identity providers", "the box's socket is open to its owner only"),
    "debug": ("making debug dumps", "see run/box.log in the data directory"),
    "kube-events": ("listing Kubernetes events", "use: pachybox events"),
    "loki": ("querying Loki", "use: pachybox logs"),
    "port-forward": ("port forwarding", "the box listens on this machine"),
    "deploy": ("deploying to a cluster", "start a box with: pachybox up"),
    "undeploy": ("deploying to a cluster", "stop the box with: pachybox down"),
    "update-dash": ("the dashboard", "use: pachybox status"),
    "config import-kube": ("importing Kubernetes contexts", "use: pachybox connect ADDRESS"),
}

# Other names of the same commands; a noun may also be written in the plural.
ALIASES: dict[str, str] = {
    "garbage collect": "garbage-collect",
    "subscribe branch": "subscribe commit",
}


def commands() -> dict[str, tuple[str, str]]:
    """Every command: name -> (module, summary)."""
    return {
        name: (module, summary)
        for parts in SECTIONS.values()
        for module, found in parts
        for name, summary in found.items()
    }
