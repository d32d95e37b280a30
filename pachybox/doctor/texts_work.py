"""The texts of doctor's codes of the box's work: (code, check, looks at, means, remedy)."""

from pachybox.doctor.texts_place import Texts

ALL: tuple[Texts, ...] = (
    (
        "PB501",
        "process runner",
        "whether a worker, the process that runs datums, starts",
        "No pipeline runs.",
        "Install pachybox again: its own Python must be able to run pachybox.worker.",
    ),
    (
        "PB502",
        "isolation",
        "how far datums are fenced off from the machine and from each other",
        """full: mounts and processes of each datum are its own. mount: processes it leaves are
        found by descent. none: there is no /pfs, and user code can reach the box's files.""",
        """Let the box make namespaces: see PB503. PACHYBOX_ISOLATION, when set, forces a level.""",
    ),
    (
        "PB503",
        "mount namespace",
        "whether the box can give a datum mounts of its own",
        "/pfs cannot be shown; inputs are copied and paths are rewritten (isolation none).",
        """Set the kernel setting that is named, by sysctl -w and in /etc/sysctl.d; in a container
        give it --privileged, or --cap-add SYS_ADMIN with seccomp and apparmor unconfined.""",
    ),
    (
        "PB504",
        "read-only inputs",
        "whether mounts can be made read-only",
        "Inputs are copied, so that user code cannot change the store.",
        "As PB503.",
    ),
    (
        "PB505",
        "PID namespace",
        "whether a datum can have processes of its own",
        "What a datum leaves running is found by descent, and may escape.",
        "As PB503.",
    ),
    (
        "PB506",
        "/proc of a datum",
        "whether a datum sees its own processes alone",
        "User code sees the process numbers of the machine.",
        "Run the box outside a container, or give the container what PB503 names.",
    ),
    (
        "PB507",
        "user of datums",
        "which user runs user code",
        "As root it may do what root may, within its isolation.",
        "Run the box as an ordinary user, or set transform.user in each pipeline.",
    ),
    (
        "PB508",
        "shim",
        "whether the static shim serves datums",
        """Python serves them, at a third of the speed, without images of inputs and without datum
        batching.""",
        "Unset PACHYBOX_SHIM; install pachybox again, with the ziglang package; see PB102, PB503.",
    ),
    (
        "PB509",
        "limit of processors",
        "whether resource_limits.cpu can be kept",
        "The limit of a spec is not enforced.",
        """Run the box as root, or, where the machine has control groups of version 2, as a service
        with Delegate=yes (as a user: systemd-run --user -p Delegate=yes --scope pachybox up).""",
    ),
    (
        "PB510",
        "limit of memory",
        "whether resource_limits.memory can be kept",
        "The limit of a spec is not enforced: a datum may take all memory of the machine.",
        "As PB509.",
    ),
    (
        "PB511",
        "limit of processes",
        "whether the number of processes of a datum can be bounded",
        "A datum may start as many as its user may.",
        "As PB509.",
    ),
    (
        "PB601",
        "podman",
        "which podman is used",
        "Only pipelines with an image need it.",
        "Install podman 4 or newer.",
    ),
    (
        "PB602",
        "containers",
        "whether a container starts",
        "Pipelines with an image are refused.",
        """Do what the finding says; see what podman says itself: podman run --rm IMAGE true.
        Without containers: pachybox create pipeline --runner process.""",
    ),
    (
        "PB603",
        "limits of containers",
        "which limits containers keep",
        "The limit of a spec is not enforced where the controller is missing.",
        "Boot the kernel with its controllers on, or run the box where they are delegated.",
    ),
    (
        "PB604",
        "image of ",
        "whether the image of a pipeline is here",
        "The pipeline waits for it; its jobs do not start.",
        """podman pull IMAGE, podman load, or pachybox update pipeline with a name that can be
        pulled.""",
    ),
    (
        "PB605",
        "images",
        "whether the images of all pipelines are here",
        "Each that is not is named by PB604.",
        "None is needed.",
    ),
    (
        "PB606",
        "cluster",
        "whether the cluster of the runner kubernetes answers, where one is asked for",
        "Pipelines in Pods wait, and new ones are refused. What runs runs on.",
        """Have kubeconfig name the file of the cluster; see whether it answers: kubectl get nodes.
        Without a cluster: pachybox create pipeline --runner process, or podman.""",
    ),
    (
        "PB607",
        "rights in the cluster",
        "whether the box may do in its namespace what it has to",
        "Pods are not made, not seen, or not removed.",
        "Give its account the rights: kubectl apply -k k3s/manifests/pods.",
    ),
    (
        "PB608",
        "node of Pods",
        "which node of the cluster is this machine, and whether it is ready",
        """Pods start on this machine alone, since the box goes into them with its inputs. Where
        its node is not known or not ready, none does.""",
        "Run the box on a node of the cluster; set kubernetes_node where that is not recognised.",
    ),
    (
        "PB701",
        "pipeline ",
        "pipelines that crash, cannot run, or whose newest job failed",
        "No output comes from it, and none from what reads it.",
        """pachybox inspect pipeline NAME, pachybox logs -p NAME; mend the spec or the code with
        pachybox update pipeline, or run it again: pachybox rerun pipeline NAME.""",
    ),
    (
        "PB702",
        "ingest ",
        "sources that are late, held, crash, or set records aside",
        "Data that should be here is not.",
        """pachybox inspect ingest NAME and pachybox logs --ingest NAME; held ones go on by
        themselves when the disk has room (PB204). Dead letters are on the branch dead-letters.""",
    ),
    (
        "PB703",
        "retention",
        "rules of retention that cannot hold",
        "Old commits stay, and so does their space.",
        "Do what the finding says: something else keeps the commits, or the rule cannot be kept.",
    ),
    (
        "PB704",
        "work",
        "whether pipelines and sources are well",
        "What is not is named by PB701 to PB703.",
        "None is needed.",
    ),
    (
        "PB705",
        "where pipelines run",
        "whether pipelines run by what the setting runner says",
        """The setting was changed after they were made: each version of a pipeline keeps the runner
        that it was made for, so these run, or wait, where they did before.""",
        """Move them: pachybox move pipeline --all (-A: of all projects). Nothing is computed again.
        Those that were made with --runner may be meant so.""",
    ),
    (
        "PB801",
        "backup",
        "whether backups are made, and how the last one went",
        "When the disk dies, everything since the last good backup is gone.",
        """Set where to and when: pachybox config set backup_to DIR backup_schedule "0 3 * * *";
        have DIR on another disk or machine. After a failure: do what the finding says, and make
        one by hand: pachybox backup create.""",
    ),
    (
        "PB802",
        "scrub",
        "what the last reading of all content found",
        """Content on the disk is not what was written: the disk changed it. What is damaged is not
        served; the rest is.""",
        """pachybox fsck names the commits and paths. Restore them from a backup, or put them anew;
        check the disk (smartctl), and the memory of the machine.""",
    ),
    (
        "PB803",
        "webhooks",
        "whether those who are to be told of events could be",
        "They do not hear of failures. What could not be delivered is tried again for a day.",
        "Check the address in box.toml, and that the box can reach it.",
    ),
    (
        "PB804",
        "janitor",
        "whether the last round of the janitor went well",
        "Space of deleted data is not freed, and logs grow, until a round goes well.",
        "Do what the finding says; see run/box.log. A round by hand: pachybox garbage-collect.",
    ),
    (
        "PB901",
        "service",
        "what systemd says of the box's unit",
        """A service that was restarted died or did not answer in time. One that failed is not
        started any more.""",
        """journalctl -u pachybox, and run/box.log in the data directory. Then: systemctl
        reset-failed pachybox; systemctl start pachybox.""",
    ),
)
