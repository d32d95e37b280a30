/* Datum after datum: start the command, serve its pipes, keep its clock, hear the daemon; when
 * it has ended, end all that is left of it and report. One thread, one poll, no busy waiting. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_CAP (16u << 20) /* of one attempt; beyond it output is only counted */
#define CHUNK (64u << 10)
#define PENDING_MAX (512u << 10) /* output is left in its pipe while the daemon has so much to take */
#define PIPE_MAX (1u << 20)      /* the most a pipe can still hold when its writers are dead */
#define GOODBYE_US 2000000       /* for batched code to end by itself when there are no more datums */

char failure[4096];

static struct run *queue, *current;
static int hung_up, children = -1, null = -1;

/* The user's main process and what is connected to it. */
static struct {
    pid_t pid; /* 0: none */
    int ended, status;
    int output, feed;
    char *input;
    const char *unfed;
    size_t unfed_size;
} code = {.output = -1, .feed = -1};

/* The attempt under way. */
static struct {
    int64_t began, ended, deadline, grace; /* 0: none */
    uint64_t cpu_us, rss, sent, dropped;
    int timed_out, cancelled;
} attempt;

int fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure, sizeof failure, format, arguments);
    va_end(arguments);
    return 0;
}

int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static void close_at(int *fd) {
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* Count one child that was waited for. */
static void reaped(pid_t pid, int status, const struct rusage *used) {
    attempt.cpu_us += (uint64_t)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) * 1000000 +
                      (uint64_t)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
    if ((uint64_t)used->ru_maxrss * 1024 > attempt.rss) attempt.rss = (uint64_t)used->ru_maxrss * 1024;
    if (pid != code.pid) return;
    code.ended = 1;
    code.status = status;
    attempt.ended = now_us();
}

/* Take the dead; 0 when no child is left at all. */
static int reap(int options) {
    struct rusage used;
    int status;
    pid_t pid;
    while ((pid = wait4(-1, &status, options, &used)) > 0) reaped(pid, status, &used);
    return pid == 0;
}

/* End every process of the datum. A process that was killed forks no more, so one call reaches
 * all; each is our child in the end, since process 1 adopts. */
static void kill_all(void) {
    while (reap(WNOHANG)) {
        kill(-1, SIGKILL);
        reap(0);
    }
}

static void take_output(size_t most) {
    static char chunk[CHUNK];
    size_t taken = 0;
    while (code.output >= 0 && taken < most) {
        ssize_t n = read(code.output, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) close_at(&code.output);
        if (n <= 0) return;
        taken += (size_t)n;
        size_t room = attempt.sent < OUTPUT_CAP ? OUTPUT_CAP - attempt.sent : 0;
        size_t kept = current->endless || (size_t)n < room ? (size_t)n : room;
        if (kept) put_output(current->number, chunk, kept);
        attempt.sent += kept;
        attempt.dropped += (size_t)n - kept;
    }
}

static void feed(void) {
    size_t size = code.unfed_size < CHUNK ? code.unfed_size : CHUNK;
    ssize_t n = write(code.feed, code.unfed, size);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) {
        code.unfed += n;
        code.unfed_size -= (size_t)n;
    }
    if (n < 0 || !code.unfed_size) close_at(&code.feed);
}

/* Stop what runs; with `grace` its process group is asked to end first. */
static void stop(uint32_t grace_ms) {
    if (code.ended || !code.pid) return;
    if (grace_ms) {
        kill(-code.pid, SIGTERM);
        attempt.grace = now_us() + grace_ms * 1000LL;
    } else {
        kill(-1, SIGKILL);
    }
}

static void cancel(uint32_t number) {
    for (struct run *run = queue; run; run = run->next)
        if (run->number == number) run->cancelled = 1;
    if (!current || current->number != number || attempt.cancelled) return;
    reap(WNOHANG);
    if (code.ended) return; /* it ended before: its true result counts */
    attempt.cancelled = 1;
    stop(current->grace_ms);
}

static void hear(void) {
    struct frame frame;
    if (!read_control()) {
        hung_up = 1;
        for (struct run *run = queue; run; run = run->next) run->cancelled = 1;
        if (current) current->grace_ms = 0;
        attempt.grace = 0;
        if (current) cancel(current->number);
        if (current && attempt.cancelled) stop(0);
    }
    while (next_frame(&frame)) {
        if (frame.type == 'R') {
            struct run **end = &queue;
            while (*end) end = &(*end)->next;
            *end = parse_run(frame.body, frame.size);
            continue;
        }
        struct reader r = {frame.body, frame.size, 0};
        if (frame.type == 'C') cancel(get_u32(&r));
        free(frame.body);
    }
}

static void look_at_clock(void) {
    int64_t now = now_us();
    if (attempt.deadline && now >= attempt.deadline) {
        attempt.deadline = 0;
        reap(WNOHANG);
        if (!code.ended && !attempt.cancelled) {
            attempt.timed_out = 1;
            stop(0);
        }
    }
    if (attempt.grace && now >= attempt.grace) {
        attempt.grace = 0;
        stop(0);
    }
}

static int patience(void) {
    int64_t until = attempt.deadline;
    if (attempt.grace && (!until || attempt.grace < until)) until = attempt.grace;
    if (!until) return -1;
    int64_t left = until - now_us();
    return left <= 0 ? 0 : left > 86400000000LL ? 86400000 : (int)(left / 1000 + 1);
}

/* Wait for something and see to it. */
static void pump(void) {
    enum { CHILDREN, CONTROL, ANSWERS, OUTPUT, FEED, NEXT, COUNT };
    struct pollfd polled[COUNT] = {
        [CHILDREN] = {children, POLLIN, 0},
        [CONTROL] = {hung_up ? -1 : 0, POLLIN, 0},
        [ANSWERS] = {pending() ? 1 : -1, POLLOUT, 0},
        [OUTPUT] = {current && pending() < PENDING_MAX ? code.output : -1, POLLIN, 0},
        [FEED] = {code.feed, POLLOUT, 0},
        [NEXT] = {-1, POLLIN, 0},
    };
    polled[NEXT].fd = batch_descriptor(&polled[NEXT].events);
    if (poll(polled, COUNT, patience()) < 0 && errno != EINTR) _exit(74);
    if (polled[CHILDREN].revents) {
        struct signalfd_siginfo gone;
        if (read(children, &gone, sizeof gone) < 0 && errno != EAGAIN) _exit(74);
        reap(WNOHANG);
    }
    if (polled[OUTPUT].revents) take_output(CHUNK);
    if (polled[FEED].revents) feed();
    if (polled[NEXT].revents) batch_event();
    if (polled[CONTROL].revents) hear();
    look_at_clock();
    if (pending() && !flush()) hung_up = 1;
}

static int start(const struct run *run) {
    int out[2], in[2] = {-1, -1};
    size_t size = run->input_size;
    if (pipe2(out, O_CLOEXEC)) return fail("pipe: %s", strerror(errno));
    if (size && pipe2(in, O_CLOEXEC)) {
        close(out[0]);
        close(out[1]);
        return fail("pipe: %s", strerror(errno));
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    if (size) fcntl(in[1], F_SETFL, O_NONBLOCK);
    code.ended = 0;
    pid_t pid = spawn(run, size ? in[0] : null, out[1]);
    close(out[1]);
    if (size) close(in[0]);
    code.output = out[0];
    code.feed = in[1];
    free(code.input); /* batched code outlives the run that started it, and its frame */
    code.input = need(malloc(size + 1));
    memcpy(code.input, run->input, size);
    code.unfed = code.input;
    code.unfed_size = size;
    code.pid = pid > 0 ? pid : 0;
    return pid > 0;
}

/* Nothing of the code lives when this returns, and all that it said has been taken. */
static void finish(void) {
    kill_all();
    take_output(PIPE_MAX);
    close_at(&code.output);
    close_at(&code.feed);
    code.pid = 0;
}

static void begin(struct run *run) {
    memset(&attempt, 0, sizeof attempt);
    current = run;
    attempt.began = now_us();
    if (run->timeout_us) attempt.deadline = attempt.began + (int64_t)run->timeout_us;
}

static void report(uint8_t kind, int32_t status, const char *text) {
    int64_t ended = attempt.ended ? attempt.ended : now_us();
    struct result result = {
        .kind = attempt.timed_out || attempt.cancelled ? RESULT_KILLED : kind,
        .flags = (uint8_t)((attempt.timed_out ? TIMED_OUT : 0) | (attempt.cancelled ? CANCELLED : 0)),
        .status = status,
        .wall_us = (uint64_t)(ended - attempt.began),
        .cpu_us = attempt.cpu_us,
        .rss = attempt.rss,
        .dropped = attempt.dropped,
        .text = text,
    };
    put_result(current->number, &result);
    current = NULL;
    attempt.deadline = attempt.grace = 0;
    if (!flush()) hung_up = 1;
}

static void execute(struct run *run) {
    char said[sizeof failure + 32];
    if (!present(run)) {
        snprintf(said, sizeof said, "cannot set up the datum: %s", failure);
        unpresent();
        report(RESULT_ERROR, 0, said);
        return;
    }
    begin(run);
    int started = start(run);
    while (started && !code.ended) pump();
    finish();
    unpresent();
    if (started)
        report(RESULT_STATUS, code.status, NULL);
    else
        report(RESULT_ERROR, 0, failure);
}

/* How code ended that should have asked for the next datum. */
static void ended_early(char *said, size_t size) {
    int status = code.status;
    char how[64];
    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "killed by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "exit status %d", WEXITSTATUS(status));
    snprintf(said, size, "the code ended (%s) before it asked for the next datum; with "
             "datum_batching it calls `pachybox next datum` until there are no more", how);
}

/* One datum of code that lives on: from the call that gets it to the call that ends it. */
static void execute_batched(struct run *run) {
    char said[sizeof failure + 32];
    const char *error = NULL;
    struct usage before = {0, 0}, after;
    int given = 0, good = present(run);
    if (!good) {
        snprintf(said, sizeof said, "cannot set up the datum: %s", failure);
    } else if (!code.pid) {
        begin(run);
        good = start(run);
        if (!good) snprintf(said, sizeof said, "%s", failure);
    }
    if (!good) {
        if (!code.pid) finish();
        unpresent();
        report(RESULT_ERROR, 0, said);
        return;
    }
    for (;;) {
        if (code.ended || (given && batch_asks(&error))) break;
        if (!given && batch_asks(&error) && batch_answer(run)) {
            given = 1;
            attempt.began = now_us();
            before = batch_usage(code.pid);
            batch_forget_peak(code.pid);
        }
        pump();
    }
    if (code.ended) {
        ended_early(said, sizeof said);
        finish();
        unpresent();
        report(RESULT_SAID, 0, said);
        return;
    }
    take_output(PIPE_MAX);
    after = batch_usage(code.pid);
    attempt.cpu_us = after.cpu_us > before.cpu_us ? after.cpu_us - before.cpu_us : 0;
    attempt.rss = after.rss;
    unpresent();
    report(error ? RESULT_SAID : RESULT_STATUS, 0, error);
}

static void work_off(struct run *run) {
    memset(&attempt, 0, sizeof attempt);
    current = run;
    attempt.began = now_us();
    if (run->cancelled) {
        attempt.cancelled = 1;
        report(RESULT_KILLED, 0, NULL);
    } else if (config.batching && !run->err_cmd) {
        if (run->timeout_us) attempt.deadline = attempt.began + (int64_t)run->timeout_us;
        if (code.pid && code.ended) finish();
        execute_batched(run);
    } else {
        if (code.pid) finish(); /* batched code makes room for err_cmd */
        execute(run);
    }
}

/* Batched code that waits is told that there are no more, and given a moment to end. */
static void say_goodbye(void) {
    const char *error;
    int64_t until = now_us() + GOODBYE_US;
    attempt.deadline = until;
    while (code.pid && !code.ended && now_us() < until) {
        if (batch_asks(&error)) batch_answer(NULL);
        attempt.deadline = until;
        struct pollfd polled[2] = {{children, POLLIN, 0}, {-1, 0, 0}};
        polled[1].fd = batch_descriptor(&polled[1].events);
        if (poll(polled, 2, patience()) < 0 && errno != EINTR) break;
        if (polled[1].revents) batch_event();
        reap(WNOHANG);
    }
}

int serve(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (children < 0 || null < 0) return fail("signalfd, /dev/null: %s", strerror(errno));
    if (config.batching && !batch_open()) return 0;
    fcntl(0, F_SETFL, O_NONBLOCK);
    fcntl(1, F_SETFL, O_NONBLOCK);
    put_text('Y', config.ready);
    if (!flush()) return 1;
    while (!hung_up || queue) {
        struct run *run = queue;
        if (!run) {
            pump();
            continue;
        }
        queue = run->next;
        work_off(run);
        free_run(run);
    }
    if (code.pid) say_goodbye();
    current = NULL;
    kill_all();
    unpresent();
    fcntl(1, F_SETFL, 0);
    flush();
    return 1;
}
