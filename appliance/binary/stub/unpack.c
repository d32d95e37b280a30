/* Unpacking: the files of the payload into a new folder, by several processes, to disk. */

#define _GNU_SOURCE
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

uint8_t chunk[CHUNK];

/* A number and the blank behind it; NULL where there is none. By hand, since each start reads
 * thousands: a strtoull or strchr may look for the end of the whole text first. */
static const char *number(const char *at, unsigned base, unsigned long long *value) {
    const char *digit = at;
    for (*value = 0; *digit >= '0' && (unsigned)(*digit - '0') < base; digit++)
        *value = *value * base + (*digit - '0');
    return digit > at && *digit == ' ' ? digit + 1 : NULL;
}

const char *next_entry(const char *line, struct entry *entry) {
    unsigned long long mode;
    if (!(line = number(line, 8, &mode)) || !(line = number(line, 10, &entry->size)))
        return NULL;
    const char *end = line;
    while (*end && *end != '\n')
        end++;
    if (!*end || end - line < 2 * HASH + 2 || line[2 * HASH] != ' ')
        return NULL;
    size_t length = end - line - 2 * HASH - 1;
    if (length >= sizeof entry->path)
        return NULL;
    memcpy(entry->hash, line, 2 * HASH);
    memcpy(entry->path, line + 2 * HASH + 1, length);
    entry->hash[2 * HASH] = entry->path[length] = 0;
    entry->mode = mode;
    return end + 1;
}

/* The frame of a group of files, "= OFFSET LENGTH"; NULL for another line. */
const char *next_group(const char *line, size_t *offset, size_t *length) {
    int used = 0;
    if (*line != '=' || sscanf(line, "= %zu %zu%n", offset, length, &used) != 2 ||
        line[used] != '\n')
        return NULL;
    return line + used + 1;
}

void hash_text(char text[2 * HASH + 1]) {
    uint8_t hash[HASH];
    hash_end(hash);
    for (int i = 0; i < HASH; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

bool make_folders(const char *path, mode_t mode) {
    char part[PATH];
    snprintf(part, sizeof part, "%s", path);
    for (char *cut = part + 1;; cut++) {
        if (*cut && *cut != '/')
            continue;
        char was = *cut;
        *cut = 0;
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return false;
        if (!was)
            return true;
        *cut = was;
    }
}

static bool write_all(int file, const uint8_t *data, size_t length) {
    while (length) {
        ssize_t done = write(file, data, length);
        if (done < 0)
            return false;
        data += done, length -= done;
    }
    return true;
}

/* Write one file out of the stream. */
static bool put(int root, const struct entry *entry, struct reason *why) {
    int file = openat(root, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, entry->mode);
    if (file < 0) {
        explain(why, "takes no %s: %s", entry->path, strerror(errno));
        return false;
    }
    bool good = true;
    hash_start();
    for (unsigned long long left = entry->size; good && left;) {
        size_t now = left < CHUNK ? left : CHUNK;
        if (!(good = unpack_read(chunk, now))) {
            explain(why, "cannot be filled: this file is damaged; copy it again");
        } else if (!(good = write_all(file, chunk, now))) {
            explain(why, "cannot be filled: %s", strerror(errno));
        }
        hash_update(chunk, now);
        left -= now;
    }
    char hash[2 * HASH + 1];
    hash_text(hash);
    if (good && strcmp(hash, entry->hash)) {
        explain(why, "cannot be filled: this file is damaged; copy it again");
        good = false;
    }
    struct timespec when[2] = {{.tv_sec = WHEN}, {.tv_sec = WHEN}};
    good = good && fchmod(file, entry->mode) == 0 && futimens(file, when) == 0;
    close(file);
    return good;
}

/* What the processes that unpack share. */
struct shared {
    atomic_int next; /* the group that nobody has begun */
    atomic_int failed;
    struct reason why;
};

/* Write the files of groups that nobody has begun, until there are none. */
static void work(int root, const char *text, const struct payload *payload, struct shared *shared) {
    static struct entry entry;
    const uint8_t *frames = payload->data + payload->about.packed;
    size_t room = payload->about.length - payload->about.packed, offset, length;
    int mine = atomic_fetch_add(&shared->next, 1), group = -1;
    for (const char *line = text, *after; *line && !shared->failed; line = after) {
        if ((after = next_group(line, &offset, &length))) {
            if (++group == mine + 1)
                mine = atomic_fetch_add(&shared->next, 1);
            if (group == mine && offset <= room && length <= room - offset)
                unpack_start(frames + offset, length);
            continue;
        }
        after = next_entry(line, &entry);
        if (!after)
            return;
        if (group == mine && !put(root, &entry, &shared->why))
            shared->failed = 1;
    }
}

static bool make_all_folders(const char *path, const char *text, struct reason *why) {
    static struct entry entry;
    static char folder[PATH + ROOM], made[PATH + ROOM];
    size_t offset, length;
    for (const char *line = text, *after; *line; line = after) {
        if ((after = next_group(line, &offset, &length)))
            continue;
        after = next_entry(line, &entry);
        if (!after)
            return false;
        snprintf(folder, sizeof folder, "%s/%s", path, entry.path);
        *strrchr(folder, '/') = 0;
        if (strcmp(folder, made) && !make_folders(strcpy(made, folder), 0755)) {
            explain(why, "takes no folder: %s", strerror(errno));
            return false;
        }
    }
    return true;
}

/* Write every file, by as many processes as there are processors, four at most. */
static bool write_files(int root, const char *text, const struct payload *payload,
                        struct reason *why) {
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        explain(why, "cannot be filled: %s", strerror(errno));
        return false;
    }
    long most = sysconf(_SC_NPROCESSORS_ONLN);
    pid_t helpers[3];
    int count = 0;
    while (count < 3 && count + 1 < most && (helpers[count] = fork()) > 0)
        count++;
    if (count < 3 && count + 1 < most && helpers[count] == 0) {
        work(root, text, payload, shared);
        _exit(0);
    }
    work(root, text, payload, shared);
    bool good = true;
    for (int i = 0; i < count; i++) {
        int status;
        while (waitpid(helpers[i], &status, 0) < 0 && errno == EINTR)
            ;
        good = good && status == 0;
    }
    if (shared->failed)
        *why = shared->why;
    else if (!good)
        explain(why, "cannot be filled: a process that unpacks was killed");
    good = good && !shared->failed;
    munmap(shared, sizeof *shared);
    return good;
}

/* Write the payload below `root`, which is new, and to disk. */
static bool fill(int root, const char *path, const struct payload *payload, struct reason *why) {
    size_t size = payload->about.manifest;
    char *text = malloc(size + 1);
    uint8_t hash[HASH] = {0};
    unpack_start(payload->data, payload->about.packed);
    if (text && unpack_read((uint8_t *)text, size)) {
        hash_start();
        hash_update((uint8_t *)text, size);
        hash_end(hash);
    }
    if (memcmp(hash, payload->about.proof, HASH)) {
        explain(why, "cannot be filled: this file is damaged; copy it again");
        free(text);
        return false;
    }
    text[size] = 0;
    bool good = make_all_folders(path, text, why) && write_files(root, text, payload, why);
    int lock = openat(root, ".lock", O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
    int kept = openat(root, ".manifest", O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
    if (good && !(lock >= 0 && kept >= 0 && write_all(kept, (uint8_t *)text, size) &&
                  syncfs(root) == 0)) {
        explain(why, "cannot be filled: %s", strerror(errno));
        good = false;
    }
    close(lock);
    close(kept);
    free(text);
    return good;
}

/* Unpack beside, then rename: nobody ever sees a part of it. */
bool unpack(const char *place, const struct payload *payload, struct reason *why) {
    char fresh[PATH], tree[PATH];
    snprintf(fresh, sizeof fresh, "%s/.new-%d", place, (int)getpid());
    snprintf(tree, sizeof tree, "%s/%s", place, payload->name);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "pachybox: unpacking %llu MB into %s (once)\n",
                (unsigned long long)(payload->about.unpacked >> 20), place);
    int root = mkdir(fresh, 0755) < 0 ? -1 : open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        explain(why, "takes no folder: %s", strerror(errno));
        return false;
    }
    bool good = fill(root, fresh, payload, why);
    close(root);
    if (good) {
        retire(place, tree); /* a damaged one */
        if (rename(fresh, tree) < 0) {
            explain(why, "cannot be filled: %s", strerror(errno));
            good = false;
        }
    }
    if (!good)
        remove_tree(fresh);
    int folder = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
    return good;
}

