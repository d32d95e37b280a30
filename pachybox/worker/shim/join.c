/* Containers: their first process, and how a worker's init comes to be within one. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void ended(int number) { _exit(number == SIGTERM ? 0 : 1); }

/* The first process of a container: keeps its namespaces, runs nothing. */
int hold(void) {
    struct sigaction end = {.sa_handler = ended}, none = {.sa_handler = SIG_IGN};
    sigaction(SIGTERM, &end, NULL); /* process 1 hears no signal that it does not ask for */
    sigaction(SIGINT, &end, NULL);
    sigaction(SIGCHLD, &none, NULL); /* the kernel takes the dead that are adopted */
    for (;;) pause();
}

static pid_t clone_with(int flags) {
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

/* Clone init, our only child, into a PID namespace of its own, within the container's where there
 * is one: 0 in init, 1 in the guardian, -1 when that failed. A process can make one only below its
 * own, so for a container there is one in between, whose child is its parent's. */
int clone_init(void) {
    if (!config.container) {
        pid_t pid = clone_with(CLONE_NEWPID);
        return pid < 0 ? fail("clone: %s", strerror(errno)) - 1 : pid != 0;
    }
    int status = 0;
    if (setns(config.pids, CLONE_NEWPID))
        return fail("setns to the container's processes: %s", strerror(errno)) - 1;
    pid_t between = clone_with(0);
    if (between < 0) return fail("clone in the container: %s", strerror(errno)) - 1;
    if (!between) {
        pid_t pid = clone_with(CLONE_NEWPID | CLONE_PARENT);
        if (pid) _exit(pid < 0 ? errno & 127 : 0);
        return 0;
    }
    while (waitpid(between, &status, 0) < 0 && errno == EINTR) continue;
    if (!WIFEXITED(status)) return fail("the container has ended") - 1;
    if (WEXITSTATUS(status))
        return fail("clone in the container: %s", strerror(WEXITSTATUS(status))) - 1;
    return 1;
}

/* In init: into the container's namespaces that are not those of mounts or processes. */
int join_container(void) {
    for (int *one = config.others; *one >= 0; one++) {
        if (setns(*one, 0)) return fail("setns: %s", strerror(errno));
        close(*one);
    }
    close(config.pids);
    return 1;
}

static void cover(const char *path) {
    struct stat info;
    if (lstat(path, &info)) return;
    if (S_ISDIR(info.st_mode))
        mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k");
    else
        mount("/dev/null", path, NULL, MS_BIND, NULL);
}

/* What engines keep of /proc from the processes of a container. */
void mask_proc(void) {
    static const char *covered[] = {"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/scsi",
                                    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                                    "/proc/sched_debug"};
    static const char *kept[] = {"/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                 "/proc/sysrq-trigger"};
    for (size_t i = 0; i < sizeof covered / sizeof *covered; i++) cover(covered[i]);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) shield(kept[i]);
}
