/* dist/pachybox: finds the unpacked program, or a place to unpack it, and becomes it. */

#define _GNU_SOURCE
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACES 6

static int fail(const char *what, const char *why) {
    fprintf(stderr, "pachybox: %s: %s\n", what, why);
    return 1;
}

void explain(struct reason *why, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(why->text, sizeof why->text, format, values);
    va_end(values);
}

/* Where this file is; without /proc, as it was called. */
static void own_path(char path[ROOM]) {
    ssize_t length = readlink("/proc/self/exe", path, ROOM - 1);
    if (length > 0) {
        path[length] = 0;
        return;
    }
    const char *called = (const char *)getauxval(AT_EXECFN);
    if (!called || !realpath(called, path))
        path[0] = 0;
}

/* Map the payload at the end of this file; says so and returns false when it is not whole. */
static bool open_payload(const char *path, struct payload *payload) {
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (file < 0 || fstat(file, &about) < 0) {
        fail(path, strerror(errno));
        return false;
    }
    struct trailer *end = &payload->about;
    uint64_t size = (uint64_t)about.st_size;
    ssize_t got = size < sizeof *end ? -1 : pread(file, end, sizeof *end, size - sizeof *end);
    if (got != (ssize_t)sizeof *end || memcmp(end->magic, MAGIC, sizeof end->magic) != 0 ||
        end->offset > size || end->length > size - end->offset ||
        end->packed > end->length || end->offset + end->length + sizeof *end != size) {
        fail(path, "this file is cut short or damaged; copy it again");
        return false;
    }
    uint8_t *all = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (all == MAP_FAILED) {
        fail(path, strerror(errno));
        return false;
    }
    payload->data = all + end->offset;
    for (int i = 0; i < HASH; i++)
        snprintf(payload->name + 2 * i, 3, "%02x", end->name[i]);
    return true;
}

/* The folders to try, best first; how many. */
static int places(char found[PLACES][ROOM]) {
    const char *asked = getenv("PACHYBOX_CACHE");
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int count = 0;
    if (asked && *asked) {
        snprintf(found[0], ROOM, "%s", asked);
        return 1;
    }
    snprintf(found[count++], ROOM, "/var/cache/pachybox");
    if (cache && *cache == '/')
        snprintf(found[count++], ROOM, "%s/pachybox", cache);
    else if (home && *home == '/')
        snprintf(found[count++], ROOM, "%s/.cache/pachybox", home);
    snprintf(found[count++], ROOM, "/var/tmp/pachybox-%u", (unsigned)geteuid());
    snprintf(found[count++], ROOM, "/tmp/pachybox-%u", (unsigned)geteuid());
    return count;
}

/* Become the program; returns only when that fails. */
static int become(const char *place, const struct payload *payload, const char *self, int lock,
                  int argc, char **argv) {
    char program[2 * ROOM], number[16];
    snprintf(program, sizeof program, "%s/%s/bin/pachybox", place, payload->name);
    snprintf(number, sizeof number, "%d", lock);
    setenv("PACHYBOX_CACHE_LOCK", number, 1);
    setenv("PACHYBOX_FILE", self, 1);
    char **all = calloc(argc + 3, sizeof *all);
    if (!all)
        return fail("memory", strerror(errno));
    int count = 0;
    all[count++] = program;
    all[count++] = "-m";
    all[count++] = "pachybox.cli";
    for (int i = 1; i < argc; i++)
        all[count++] = argv[i];
    execv(program, all);
    if (errno == ENOENT) /* the file is there: what is not is the loader it names */
        return fail("no glibc here", "pachybox needs glibc " GLIBC
                                     " or newer (Debian 12, Ubuntu 22.04 and later)");
    return fail(program, strerror(errno));
}

int main(int argc, char **argv) {
    static struct payload payload;
    static char found[PLACES][ROOM], self[ROOM];
    static struct reason why[PLACES];
    own_path(self);
    if (!open_payload(self, &payload))
        return 1;

    /* The box is started rarely and runs for long: then it is worth reading everything. */
    bool thorough = argc > 1 && !strcmp(argv[1], "up");
    int count = places(found);
    for (int i = 0; i < count; i++) {
        int lock;
        static char place[ROOM];
        if (found[i][0] == '/')
            snprintf(place, sizeof place, "%s", found[i]);
        else if (!getcwd(place, sizeof place) ||
                 strlen(place) + strlen(found[i]) + 2 > sizeof place)
            return fail(found[i], "this path cannot be made absolute");
        else
            strcat(strcat(place, "/"), found[i]);
        if (ready(place, &payload, thorough, &lock, &why[i]))
            return become(place, &payload, self, lock, argc, argv);
    }
    fprintf(stderr, "pachybox: there is no place to unpack the program, %llu MB:",
            (unsigned long long)(payload.about.unpacked >> 20));
    for (int i = 0; i < count; i++)
        fprintf(stderr, "%s %s %s", i ? ";" : "", found[i], why[i].text);
    fprintf(stderr, "\nset PACHYBOX_CACHE to a folder with room where programs may run\n");
    return 1;
}
