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

#define WHEN 315532800 /* every file's time, so that one that was changed shows */
#define CHUNK (1 << 20)
#define PATH 2 * ROOM

static uint8_t chunk[CHUNK];

/* One line of the manifest: "MODE SIZE HASH PATH". */
struct entry {
    unsigned mode;
    unsigned long long size;
    char hash[2 * HASH + 1];
    char path[ROOM];
};

static const char *next_entry(const char *line, struct entry *entry) {
    int used = 0;
    if (sscanf(line, "%o %llu %64s %4095[^\n]%n", &entry->mode, &entry->size, entry->hash,
               entry->path, &used) != 4 || line[used] != '\n')
        return NULL;
    return line + used + 1;
}

static void hash_text(char text[2 * HASH + 1]) {
    uint8_t hash[HASH];
    hash_end(hash);
    for (int i = 0; i < HASH; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
}

/* Root runs nothing that another user could have written, and nobody what strangers could. */
static bool trusted(const struct stat *about) {
    return (about->st_uid == geteuid() || about->st_uid == 0) && !(about->st_mode & 022);
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
    for (const char *line = text; right && *line;) {
        line = next_entry(line, &entry);
        right = line && file_right(root, &entry, thorough);
        if (!right)
            break;
    }
    free(text);
    return right;
}

/* Use what lies there already; also from a place that cannot be written to. */
static bool usable(const char *place, const struct payload *payload, bool thorough, int *lock) {
    char tree[PATH], path[PATH + 8];
    struct stat about;
    snprintf(tree, sizeof tree, "%s/%s", place, payload->name);
    snprintf(path, sizeof path, "%s/.lock", tree);
    if (stat(place, &about) < 0 || !trusted(&about) || lstat(tree, &about) < 0 ||
        !S_ISDIR(about.st_mode) || !trusted(&about))
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

static void remove_tree(const char *path) {
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Take a folder out of sight first, so that nobody meets half of it. */
static void retire(const char *place, const char *tree) {
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

/* ---- unpacking */

static bool make_folders(const char *path, mode_t mode) {
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

/* Write every file below `root`, which is new. */
static bool fill(int root, const char *path, const struct payload *payload, struct reason *why) {
    size_t size = payload->about.manifest;
    char *text = malloc(size + 1);
    unpack_start(payload->data, payload->about.length);
    uint8_t hash[HASH] = {0};
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

    static struct entry entry, list = {.mode = 0444, .path = ".manifest"};
    static char folder[PATH + ROOM], made[PATH + ROOM];
    bool good = true;
    for (const char *line = text; good && *line;) {
        line = next_entry(line, &entry);
        if (!line)
            break;
        snprintf(folder, sizeof folder, "%s/%s", path, entry.path);
        *strrchr(folder, '/') = 0;
        if (strcmp(folder, made) && !make_folders(strcpy(made, folder), 0755)) {
            explain(why, "takes no folder: %s", strerror(errno));
            good = false;
        }
        good = good && put(root, &entry, why);
    }
    int lock = openat(root, ".lock", O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
    int kept = openat(root, list.path, O_WRONLY | O_CREAT | O_CLOEXEC, list.mode);
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
static bool unpack(const char *place, const struct payload *payload, struct reason *why) {
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
