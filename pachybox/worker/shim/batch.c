/* Datum batching: user code that lives across datums asks for the next one over a socket.
 *
 * A call is a connection: the client sends an error text (empty: the last datum is done) and
 * shuts its side down; the answer is 'd' and the datum's environment, KEY=VALUE by NUL, or 'e'
 * when there are no more. One call is heard at a time, the others wait to be accepted. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FOLDER "/.pachybox"

static int door = -1, client = -1, heard;
static char text[4096];
static size_t size;

int batch_open(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = FOLDER "/next"};
    door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (door < 0 || mount("tmpfs", FOLDER, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k") ||
        bind(door, (struct sockaddr *)&address, sizeof address) ||
        chmod(address.sun_path, 0666) || listen(door, 16) ||
        mount(NULL, FOLDER, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
        return fail("the socket for `next datum`: %s", strerror(errno));
    return 1;
}

static void drop(void) {
    if (client >= 0) close(client);
    client = -1;
    heard = 0;
    size = 0;
}

int batch_descriptor(short *events) {
    if (client < 0) return door;
    *events = heard ? 0 : POLLIN; /* once heard, only whether it is gone */
    return client;
}

void batch_event(void) {
    if (client < 0) {
        client = accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        return;
    }
    if (heard) {
        drop();
        return;
    }
    char more[4096];
    ssize_t n = read(client, more, sizeof more);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) drop();
        return;
    }
    if (n == 0) heard = 1;
    size_t room = sizeof text - 1 - size, kept = (size_t)n < room ? (size_t)n : room;
    memcpy(text + size, more, kept);
    size += kept;
    text[size] = 0;
}

int batch_asks(const char **error) {
    if (client < 0 || !heard) return 0;
    *error = size ? text : NULL;
    return 1;
}

/* Written whole, waiting for the client if it must: it does nothing but read. */
static int say(const char *data, size_t left) {
    while (left) {
        ssize_t n = send(client, data, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd one = {client, POLLOUT, 0};
            if (poll(&one, 1, 1000) <= 0) return 0;
            continue;
        }
        if (n < 0) return 0;
        data += n;
        left -= (size_t)n;
    }
    return 1;
}

int batch_answer(const struct run *run) {
    int good = say(run ? "d" : "e", 1);
    for (char **one = run ? run->env : NULL; good && one && *one; one++)
        good = say(*one, strlen(*one) + 1);
    drop();
    return good;
}

/* What the code has used so far, as /proc tells. */
struct usage batch_usage(pid_t pid) {
    struct usage used = {0, 0};
    char path[64], line[1024];
    unsigned long long utime, stime, kib;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file) {
        char *rest = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
        if (rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &utime,
                           &stime) == 2)
            used.cpu_us = (utime + stime) * 1000000 / (unsigned long long)sysconf(_SC_CLK_TCK);
        fclose(file);
    }
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu", &kib) == 1) used.rss = kib * 1024;
    if (file) fclose(file);
    return used;
}

void batch_forget_peak(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, "5", 1) < 0) errno = 0; /* the peak is then that of its whole life */
    close(fd);
}
