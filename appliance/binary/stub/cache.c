/* The cache: PLACE/HASH holds a payload, PLACE/.lock is held by who changes the place, and
 * PLACE/HASH/.lock, shared, by who runs from it. */

#define _GNU_SOURCE
#include "stub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Root runs nothing that another user could have written, and nobody what strangers could. */
static bool trusted(const struct stat *about) {
    static uid_t own = -1;
    if (own == (uid_t)-1)
        own = geteuid();
    return (about->st_uid == own || about->st_uid == 0) && !(about->st_mode & 022);
}

/* ---- proving */

static bool content_right(int root, const struct entry *entry) {
    int file = openat(root, entry->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return false;
    hash_start();
    ssize_t got;
    while ((got = read(file, chunk, CHUNK)) > 0)
        hash_update(chunk, got);
    close(file);
    char hash[2 * HASH + 1];
    hash_text(hash);
    return got == 0 && !strcmp(hash, entry->hash);
}

static bool file_right(int root, const struct entry *entry, bool thorough) {
    struct stat about;
    if (fstatat(root, entry->path, &about, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISREG(about.st_mode) || (unsigned long long)about.st_size != entry->size ||
        about.st_mtime != WHEN || !trusted(&about))
        return false;
    return !thorough || content_right(root, entry);
}

/* Whether the folder holds the payload, whole. */
static bool proven(int root, const struct payload *payload, bool thorough) {
    struct stat about;
    int list = openat(root, ".manifest", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (list < 0)
        return false;
    size_t size = payload->about.manifest;
    char *text = malloc(size + 1);
    bool right = fstat(list, &about) == 0 && (uint64_t)about.st_size == size && text &&
                 read(list, text, size) == (ssize_t)size;
    close(list);
    if (right) {
        uint8_t hash[HASH];
        text[size] = 0;
        hash_start();
        hash_update((uint8_t *)text, size);
        hash_end(hash);
        right = !memcmp(hash, payload->about.proof, HASH);
    }
    static struct entry entry;
    size_t offset, length;
    for (const char *line = text, *after; right && *line; line = after) {
        if ((after = next_group(line, &offset, &length)))
            continue;
        after = next_entry(line, &entry);
        right = after && file_right(root, &entry, thorough);
    }
    free(text);
    return right;
}

/* Whether programs may run from there. */
static bool runnable(const char *path) {
    struct statvfs disk;
    return statvfs(path, &disk) == 0 && !(disk.f_flag & ST_NOEXEC);
}

/* Use what lies there already; also from a place that cannot be written to. */
static bool usable(const char *place, const struct payload *payload, bool thorough, int *lock) {
    char tree[PATH], path[PATH + 8];
    struct stat about;
    snprintf(tree, sizeof tree, "%s/%s", place, payload->name);
    snprintf(path, sizeof path, "%s/.lock", tree);
    if (stat(place, &about) < 0 || !trusted(&about) || lstat(tree, &about) < 0 ||
        !S_ISDIR(about.st_mode) || !trusted(&about) || !runnable(tree))
        return false;
    *lock = open(path, O_RDONLY); /* goes to the program, which takes it over */
    if (*lock < 0)
        return false;
    int root = -1;
    /* who prunes holds it alone: wait, and see whether it was taken away meanwhile */
    if (flock(*lock, LOCK_SH) == 0 && fstat(*lock, &about) == 0 && about.st_nlink > 0)
        root = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = root >= 0 && proven(root, payload, thorough);
    if (root >= 0)
        close(root);
    if (!good)
        close(*lock);
    return good;
}

/* ---- removing */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *at) {
    (void)about, (void)kind, (void)at;
    return remove(path);
}

void remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Take a folder out of sight first, so that nobody meets half of it. */
void retire(const char *place, const char *tree) {
    char aside[PATH];
    snprintf(aside, sizeof aside, "%s/.old-%d", place, (int)getpid());
    if (rename(tree, aside) == 0)
        remove_tree(aside);
}

static bool is_name(const char *name) {
    return strlen(name) == 2 * HASH && strspn(name, "0123456789abcdef") == 2 * HASH;
}

/* Remove what was left by who was killed here and, given what to keep, versions nobody runs. */
static void prune(const char *place, const char *keep) {
    DIR *folder = opendir(place);
    if (!folder)
        return;
    for (struct dirent *one; (one = readdir(folder));) {
        char tree[PATH], path[PATH + 8];
        snprintf(tree, sizeof tree, "%s/%s", place, one->d_name);
        snprintf(path, sizeof path, "%s/.lock", tree);
        if (!strncmp(one->d_name, ".new-", 5) || !strncmp(one->d_name, ".old-", 5)) {
            remove_tree(tree);
        } else if (keep && is_name(one->d_name) && strcmp(one->d_name, keep)) {
            int lock = open(path, O_RDONLY | O_CLOEXEC);
            if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) == 0)
                retire(place, tree);
            if (lock >= 0)
                close(lock);
        }
    }
    closedir(folder);
}

/* ---- choosing */

/* Whether a place can take the payload. */
static bool fit(const char *place, const struct payload *payload, struct reason *why) {
    struct stat about;
    struct statvfs disk;
    bool shared = !strncmp(place, "/var/cache/", 11);
    if (shared && geteuid() != 0 && !getenv("PACHYBOX_CACHE")) {
        explain(why, "has not this version, and is root's");
        return false;
    }
    if (!make_folders(place, geteuid() == 0 ? 0755 : 0700) || stat(place, &about) < 0 ||
        statvfs(place, &disk) < 0) {
        explain(why, "cannot be made: %s", strerror(errno));
        return false;
    }
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize, need = payload->about.unpacked;
    need += need / 10;
    if (!trusted(&about))
        explain(why, "is another user's, or others may write to it");
    else if (disk.f_flag & ST_NOEXEC)
        explain(why, "is mounted noexec");
    else if (disk.f_flag & ST_RDONLY || access(place, W_OK) < 0)
        explain(why, "cannot be written to");
    else if (room < need)
        explain(why, "has room for %llu MB only", (unsigned long long)(room >> 20));
    return !why->text[0];
}

bool ready(const char *place, const struct payload *payload, bool thorough, int *lock,
           struct reason *why) {
    if (usable(place, payload, thorough, lock))
        return true;
    mode_t mask = umask(022);
    char path[PATH];
    snprintf(path, sizeof path, "%s/.lock", place);
    int alone = -1;
    bool good = fit(place, payload, why);
    if (good) {
        alone = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (alone < 0 || flock(alone, LOCK_EX) < 0) {
            explain(why, "cannot be locked: %s", strerror(errno));
            good = false;
        }
    }
    if (good && !usable(place, payload, thorough, lock)) { /* nobody did it while we waited */
        prune(place, NULL);
        good = unpack(place, payload, why) && usable(place, payload, false, lock);
        if (good)
            prune(place, payload->name);
        if (!good && !why->text[0])
            explain(why, "does not keep what is written to it");
    }
    if (alone >= 0)
        close(alone);
    umask(mask);
    return good;
}
