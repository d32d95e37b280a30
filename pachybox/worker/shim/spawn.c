/* Starting user code: a child that shares init's memory until it runs the command (as vfork
 * does), so that nothing is copied. It gives up every right before it looks for the command. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FALLBACK_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SIGNALS 64

extern struct rlimit files_before;
extern char oom_before[16];

struct start {
    char **argv, **env;
    const char *cwd;
    int input, output;
    int failed;
};

/* From here on no program that this process or its children run can hold another capability. */
void limit_rights(void) {
    for (int number = 0; number < 64; number++)
        if (!(config.kept >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0)) break;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

char *variable(char **env, const char *name) {
    size_t size = strlen(name);
    for (; *env; env++)
        if (!strncmp(*env, name, size) && (*env)[size] == '=') return *env + size + 1;
    return NULL;
}

/* The worker's environment with the datum's over it; the list alone is to be freed. */
static char **merged(char **base, char **over) {
    size_t n = 0, added = 0;
    while (base[n]) n++;
    while (over[added]) added++;
    char **env = need(calloc(n + added + 1, sizeof *env));
    memcpy(env, base, n * sizeof *env);
    for (; *over; over++) {
        size_t name = (size_t)(strchrnul(*over, '=') - *over), i = 0;
        while (i < n && (strncmp(env[i], *over, name) || env[i][name] != '=')) i++;
        env[i] = *over;
        if (i == n) n++;
    }
    return env;
}

/* The file that execvp(3) would run, or NULL with the reason in `failure`. */
static const char *find_program(const char *name, const char *path) {
    static char candidate[8192];
    char blocked[4096] = "";
    int given = strchr(name, '/') != NULL;
    const char *from = given ? "" : path;
    for (;;) {
        size_t size = strcspn(from, ":");
        struct stat info;
        if (given)
            snprintf(candidate, sizeof candidate, "%s", name);
        else if (size)
            snprintf(candidate, sizeof candidate, "%.*s/%s", (int)size, from, name);
        else
            snprintf(candidate, sizeof candidate, "./%s", name);
        if (!stat(candidate, &info)) {
            if (!S_ISDIR(info.st_mode) && !access(candidate, X_OK)) return candidate;
            if (!*blocked)
                snprintf(blocked, sizeof blocked, "%.4000s is %s", candidate,
                         S_ISDIR(info.st_mode) ? "a directory" : "not executable");
        }
        if (given || !from[size]) break;
        from += size + 1;
    }
    if (*blocked && given)
        fail("cannot run %s", blocked);
    else if (*blocked)
        fail("command not found: %s (%s)", name, blocked);
    else
        fail("command not found: %s", name);
    return NULL;
}

static void explain(const char *program) {
    const char *why = strerror(errno);
    if (errno == ENOENT) why = "the interpreter its first line names does not exist";
    if (errno == ENOEXEC) why = "not a program; a script's first line must be like #!/bin/sh";
    if (errno == E2BIG) why = "arguments and environment are too long for the kernel";
    fail("cannot run %s: %s", program, why);
}

/* One user and its groups, no capability to inherit. */
static int become(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    /* The system calls themselves: the C library's would tell threads that we do not have. */
    if (config.become && (syscall(SYS_setgroups, config.group_count, config.groups) ||
                          syscall(SYS_setresgid, config.gid, config.gid, config.gid) ||
                          syscall(SYS_setresuid, config.uid, config.uid, config.uid)))
        return fail("cannot become user %u: %s", config.uid, strerror(errno));
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capget, &head, sets)) return fail("capget: %s", strerror(errno));
    if (sets[0].inheritable | sets[1].inheritable) {
        sets[0].inheritable = sets[1].inheritable = 0;
        if (syscall(SYS_capset, &head, sets)) return fail("capset: %s", strerror(errno));
    }
    return 1;
}

static void write_oom(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, oom_before, strlen(oom_before)) < 0) errno = 0; /* it is then less likely chosen */
    close(fd);
}

static int child(void *argument) {
    struct start *start = argument;
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;
    setsid();
    if (config.oom) write_oom();
    if (dup2(start->input, 0) < 0 || dup2(start->output, 1) < 0 || dup2(start->output, 2) < 0) {
        start->failed = 1;
        fail("dup2: %s", strerror(errno));
        _exit(127);
    }
    for (int number = 1; number < SIGNALS; number++) sigaction(number, &standard, NULL);
    setrlimit(RLIMIT_NOFILE, &files_before);
    umask(022);
    start->failed = 1;
    if (!become()) _exit(127);
    if (chdir(start->cwd)) {
        fail("working directory %s: %s", start->cwd, strerror(errno));
        _exit(127);
    }
    char *path = variable(start->env, "PATH");
    const char *program = find_program(start->argv[0], path ? path : FALLBACK_PATH);
    if (!program) _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    start->failed = 0; /* memory is shared: the next line succeeds or says that it did not */
    execve(program, start->argv, start->env);
    start->failed = 1;
    explain(program);
    _exit(127);
}

pid_t spawn(const struct run *run, int input, int output) {
    static char stack[64 << 10] __attribute__((aligned(16)));
    if (!run->argv[0]) return fail("nothing to run: the transform has no command") - 1;
    char **shared = merged(config.env, run->shared);
    struct start start = {run->argv, merged(shared, run->env), run->cwd, input, output, 0};
    pid_t pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
    int error = errno;
    /* A change of user in memory that is shared has made it readable to that user's debuggers. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    free(start.env);
    free(shared);
    if (pid < 0) return fail("cannot start a process: %s", strerror(error)) - 1;
    /* A child that failed is reaped with the other children. */
    return start.failed ? -1 : pid;
}
