/* From the Python worker's exec to the first datum. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct config config;
struct rlimit files_before;
char oom_before[16];

/* A descriptor that the Python worker left; user code is not to have it. */
static int get_descriptor(struct reader *r) {
    int fd = (int)get_u32(r);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static void read_config(int fd) {
    struct stat info;
    if (fstat(fd, &info)) _exit(71);
    size_t size = (size_t)info.st_size, had = 0;
    char *data = need(malloc(size + 1));
    while (had < size) {
        ssize_t n = pread(fd, data + had, size - had, (off_t)had);
        if (n <= 0) _exit(71);
        had += (size_t)n;
    }
    close(fd);
    struct reader r = {data, size, 0};
    if (get_u32(&r) != PROTOCOL) {
        put_text('N', "it was built for another version of pachybox; build it again");
        flush();
        _exit(71);
    }
    config.protect = get_u8(&r);
    config.become = get_u8(&r);
    config.batching = get_u8(&r);
    config.oom = get_u8(&r);
    config.uid = get_u32(&r);
    config.gid = get_u32(&r);
    config.kept = get_u64(&r);
    config.root = get_text(&r, NULL);
    config.ready = get_text(&r, NULL);
    config.env = get_list(&r);
    config.container = get_u8(&r);
    config.inside = get_descriptor(&r);
    config.pids = get_descriptor(&r);
    uint32_t count = get_u32(&r);
    if (count >= sizeof config.others / sizeof *config.others) _exit(71);
    for (uint32_t i = 0; i < count; i++) config.others[i] = get_descriptor(&r);
    config.others[count] = -1;
    config.group_count = get_u32(&r);
    if (config.group_count > sizeof config.groups / sizeof *config.groups) _exit(71);
    for (uint32_t i = 0; i < config.group_count; i++) config.groups[i] = get_u32(&r);
    if (r.bad) _exit(71);
}

/* The memory limit's killer takes user code first; needs CAP_SYS_RESOURCE. */
static void spare_us(void) {
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, oom_before, sizeof oom_before - 1);
    if (n <= 0 || pwrite(fd, "-999", 4, 0) < 0) config.oom = 0;
    if (fd >= 0) close(fd);
}

static int init(int alive) {
    struct pollfd guardian = {alive, POLLIN, 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    /* It may have died before the line above; its end of the pipe is closed then. */
    if (poll(&guardian, 1, 0) != 0) return 1;
    close(alive);
    if (getpid() != 1) return 1; /* kill(-1) must never mean the whole machine */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* so that /proc/self is ours while the sandbox is made */
    int made = (!config.container || join_container()) && enter_sandbox();
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* user code must not trace its init */
    if (made && serve()) return 0;
    put_text('N', failure);
    flush();
    return 1;
}

int main(int argc, char **argv) {
    int life[2], status = 0;
    struct rlimit files;
    if (argc > 1 && !strcmp(argv[1], "hold")) return hold();
    if (argc != 2) {
        dprintf(2, "the shim is started by a worker of pachybox\n");
        return 64;
    }
    read_config(atoi(argv[1]));
    signal(SIGPIPE, SIG_IGN);
    umask(0);
    getrlimit(RLIMIT_NOFILE, &files_before);
    files = files_before;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (config.oom) spare_us();
    limit_rights();
    if (pipe2(life, O_CLOEXEC)) return 70;
    int cloned = clone_init();
    if (!cloned) {
        close(life[1]);
        _exit(init(life[0]));
    }
    close(life[0]);
    if (cloned < 0) {
        put_text('N', failure);
        flush();
        return 1;
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    signal(SIGTERM, SIG_DFL); /* ends the guardian, and with it everything */
    close(0);
    close(1);
    while (waitpid(-1, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    dprintf(2, "the first process of the sandbox was killed by signal %d\n", WTERMSIG(status));
    return 1;
}
