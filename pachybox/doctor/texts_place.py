"""The texts of doctor's codes of the place a box is in: (code, check, looks at, means, remedy)."""

Texts = tuple[str, str, str, str, str]

ALL: tuple[Texts, ...] = (
    (
        "PB101",
        "python",
        "the version of Python that runs the box",
        "Below 3.11 the box does not run.",
        """Install a newer Python, or use the one file, which brings its own.""",
    ),
    (
        "PB102",
        "kernel",
        "the version of the kernel",
        """Before Linux 5.12 the shim cannot be used, and Python serves datums at a third of the
        speed; before 6.12 large inputs are not shown as images.""",
        "Boot a newer kernel. Nothing is wrong without one, only slower.",
    ),
    (
        "PB103",
        "processor",
        "what the machine's processor is",
        "The shim is there for x86-64 and arm64; elsewhere Python serves datums, slower.",
        "None is needed.",
    ),
    (
        "PB104",
        "memory",
        "the memory of the machine, or what its control group allows the box",
        """With little memory large commits are slow, and the kernel may end the box or a datum.
        A memory_bytes above what there is has the box plan with memory it cannot get.""",
        """Give the machine or the service more (MemoryMax= of a unit, --memory of a container), or
        lower memory_bytes and workers.""",
    ),
    (
        "PB105",
        "open files",
        "how many files one process may open",
        """Many clients or pipelines at once meet a low limit: connections are refused. With less
        than 128 no box starts. The box raises its own limit as far as it may.""",
        """Raise it: ulimit -n for a box of the shell, LimitNOFILE= in a unit, --ulimit nofile= for
        a container.""",
    ),
    (
        "PB106",
        "clock",
        "whether something keeps the machine's clock right",
        """A clock that drifts makes crons late and the times of commits wrong. When it is set back,
        time stands still for crons until it has caught up; the order of commits is kept.""",
        "Turn on a time service: systemd-timesyncd, chrony or ntpd.",
    ),
    (
        "PB107",
        "time of the data",
        "whether what the box wrote last is from the future",
        """The clock stands before the newest commit: it was set back, or was wrong before. New
        commits stand in their order, with times that do not.""",
        "Set the clock right (see PB106). When it was wrong before, wait until it has caught up.",
    ),
    (
        "PB108",
        "kernel copy",
        "whether large files can be copied inside the kernel",
        "Without it they are read and written, at half the speed.",
        "None is needed.",
    ),
    (
        "PB109",
        "temporary files",
        "whether there is a directory for temporary files",
        "Without one, uploads of some clients and podman fail.",
        "Make /tmp writable (chmod 1777 /tmp), or set TMPDIR to a directory of the box's user.",
    ),
    (
        "PB201",
        "data directory",
        "whether the data directory is there and can be written",
        "The box does not start, or cannot write.",
        """Set PACHYBOX_HOME to a directory of the user the box runs as, or give that user the
        directory: chown -R USER DIR.""",
    ),
    (
        "PB202",
        "data directory rights",
        "whether other users of the machine may read the data directory",
        "They can read the data, and secrets that are in files.",
        "chmod 700 on the data directory.",
    ),
    (
        "PB203",
        "file system",
        "the type of the file system of the data directory",
        """On a network file system locks and fsync may not hold: a crash can lose what was
        acknowledged. What is in memory (tmpfs) is gone with the next start of the machine, and
        what is in a container's own layer with the container.""",
        "Keep the data directory on a local disk; give a container a volume for it.",
    ),
    (
        "PB204",
        "disk",
        "how full the disk of the data directory is, by the marks of the settings",
        """From disk_warn_percent on this is said, from disk_pause_percent on sources and crons are
        held, from disk_refuse_percent on writes are refused. Reading goes on.""",
        """Free some space, or delete old commits and run pachybox garbage-collect. Rules of
        retention keep it free: pachybox update branch REPO@BRANCH --keep "last 100". Everything
        goes on by itself once there is room.""",
    ),
    (
        "PB205",
        "inodes",
        "how many more files the file system can have",
        "With none left nothing can be written, though there are bytes free.",
        """Remove small files on that file system, or make one with more inodes (mkfs.ext4 -i).
        The box itself keeps small files in packs.""",
    ),
    (
        "PB206",
        "read-only file system",
        "whether the file system of the data directory can be written",
        """Linux makes a disk read-only after errors: the box serves what it can read and refuses
        the rest. The disk may be dying.""",
        """See dmesg for the reason and check the disk (smartctl, fsck); then: mount -o remount,rw.
        Make a backup first if there is none.""",
    ),
    (
        "PB207",
        "owner",
        "whether everything in the data directory belongs to the user the box runs as",
        "What belongs to another user, as after one start by root, cannot be opened.",
        "chown -R USER on the data directory, as root, with the box stopped.",
    ),
    (
        "PB208",
        "lock",
        "which process holds the data directory",
        """A process that holds it and does not answer is starting, is stopping, or hangs. A box
        that was killed leaves nothing to clean: the next start recovers.""",
        """Wait; see run/box.log in the data directory. A box that hangs: kill PID, and kill -9 PID
        when that does not end it. Nothing acknowledged is lost.""",
    ),
    (
        "PB209",
        "metadata",
        "whether the database of the metadata (meta.duckdb) can be read",
        """The box does not start, or cannot answer. A database that a newer pachybox wrote is
        refused by older ones.""",
        """Of a newer version: run that version. Damaged: restore a backup; keep the damaged
        directory until that is done.""",
    ),
    (
        "PB210",
        "parts",
        "whether what belongs to a data directory is together",
        "Metadata without its store, or a store without metadata, was moved or removed by hand.",
        "Put the missing part back, or restore a backup.",
    ),
    (
        "PB211",
        "quota",
        "how much of quota_bytes is used",
        "Writes are refused when it is used up.",
        "Delete old commits and run pachybox garbage-collect, or raise quota_bytes.",
    ),
    (
        "PB212",
        "journal",
        "whether the journal of the metadata can be read",
        """Changes that were acknowledged and are not yet in the database cannot be read: the box
        does not start.""",
        """Restore a backup. To go on without those changes: stop the box and remove
        meta.duckdb.journal.""",
    ),
    (
        "PB301",
        "box.toml",
        "whether the settings can be read and go together",
        "The box does not start with them.",
        """Mend the key that is named; pachybox config explain says what there is. Unknown keys go
        with: pachybox config set --unset KEY.""",
    ),
    (
        "PB302",
        "rights of box.toml",
        "whether others may change the settings",
        "Whoever can write the file can have the box do what they like when it starts again.",
        "chmod 600 on box.toml, and have it belong to the user the box runs as, or to root.",
    ),
    (
        "PB303",
        "secret key",
        "whether the key that opens secrets is there and is the right one",
        """Secrets are sealed with secret.key. Without it, pipelines that use a secret fail; it
        cannot be made anew.""",
        """Restore secret.key from a backup. Without one: delete the secrets and create them again.
        Closed to others: chmod 600.""",
    ),
    (
        "PB304",
        "environment",
        "whether a variable looks like a misspelt setting",
        "It does nothing.",
        "Spell it as pachybox config explain does, or unset it.",
    ),
    (
        "PB305",
        "settings in force",
        "whether a box runs with what box.toml says now",
        "The file was changed after the start.",
        "pachybox down, then pachybox up; or restart the service.",
    ),
    (
        "PB401",
        "port ",
        "whether the ports of the doors are the box's",
        "The box does not start: another program, or another box, listens there.",
        """End that program, or take another port: pachybox up --port N --grpc-port N, 0 for any
        free one; to keep it: pachybox config set http_port N.""",
    ),
    (
        "PB402",
        "reach",
        "who can reach the doors",
        """Beyond loopback whoever reaches the machine reaches the box: a token says who may, TLS
        keeps what is sent from others. Without both a box does not start there.""",
        """Listen on 127.0.0.1, or make a certificate (pachybox cert) and a token (pachybox create
        token NAME).""",
    ),
    (
        "PB403",
        "certificate",
        "the certificate of the doors: readable, with its key, not over",
        "Clients refuse a certificate that is over, and the box one that it cannot read.",
        """Renew it: pachybox cert renew, where the box made it. Keep its key closed to others:
        chmod 600. The files are those of tls_cert and tls_key.""",
    ),
)
