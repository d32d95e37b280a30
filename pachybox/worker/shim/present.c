/* The sandbox's mount namespace and what stands at /pfs in it.
 *
 * Sources are opened in the worker's own namespace ("outside"), where the host's files are, as
 * detached mounts, and attached in the sandbox, where user code is and they are all there is.
 * One sandbox serves all datums: user code has no right to mount, and none of it is left when
 * /pfs is swapped. */
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLONE_TREE 1        /* OPEN_TREE_CLONE */
#define RECURSIVE 0x8000    /* AT_RECURSIVE */
#define FROM_EMPTY 4        /* MOVE_MOUNT_F_EMPTY_PATH */
#define SET_STRING 1        /* FSCONFIG_SET_STRING */
#define SET_CREATE 6        /* FSCONFIG_CMD_CREATE */
#define READ_ONLY 1         /* MOUNT_ATTR_* */
#define NO_SUID 2
#define NO_DEV 4
#define AT_ONCE 128         /* links opened before they are attached */

struct attributes { uint64_t set, clear, propagation, userns; };

static int outside = -1, inside = -1, standing;

static int go(int where) {
    return setns(where, CLONE_NEWNS) ? fail("setns: %s", strerror(errno)) : 1;
}

static int restrict_mount(int at, const char *path, unsigned flags, uint64_t set) {
    struct attributes attributes = {.set = set};
    if (syscall(SYS_mount_setattr, at, path, flags, &attributes, sizeof attributes))
        return fail("mount_setattr %s: %s", path, strerror(errno));
    return 1;
}

/* A detached copy of the mount at `path` and those below it, or -1. */
static int detached(int at, const char *path, uint64_t set) {
    int fd = (int)syscall(SYS_open_tree, at, path,
                          CLONE_TREE | O_CLOEXEC | RECURSIVE | AT_SYMLINK_NOFOLLOW);
    if (fd < 0) return fail("%s: %s", path, strerror(errno)) - 1;
    if (!restrict_mount(fd, "", AT_EMPTY_PATH | RECURSIVE, set)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int attach(int fd, const char *path) {
    if (syscall(SYS_move_mount, fd, "", AT_FDCWD, path, FROM_EMPTY))
        return fail("mount %s: %s", path, strerror(errno));
    return 1;
}

static int under_pfs(char *to, const char *path) {
    if (snprintf(to, PATH_MAX, "/pfs/%s", path) >= PATH_MAX)
        return fail("/pfs/%s: %s", path, strerror(ENAMETOOLONG));
    return 1;
}

static int write_file(const char *path, mode_t mode, const char *data, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) return fail("%s: %s", path, strerror(errno));
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0) {
            int error = errno;
            close(fd);
            return fail("%s: %s", path, strerror(error));
        }
        data += n;
        size -= (size_t)n;
    }
    close(fd);
    return 1;
}

/* Make what a mount of this kind needs at `path`, unless it is there. */
static int make_point(const char *path, mode_t kind) {
    struct stat there;
    if (!lstat(path, &there)) return 1;
    if (S_ISDIR(kind)) return mkdir(path, 0755) ? fail("%s: %s", path, strerror(errno)) : 1;
    return write_file(path, 0444, "", 0);
}

/* An EROFS image as a detached mount; opened outside, where its files have names. */
static int open_image(const struct run *run) {
    int fs = (int)syscall(SYS_fsopen, "erofs", 1 /* FSOPEN_CLOEXEC */);
    if (fs < 0) return fail("fsopen erofs: %s", strerror(errno)) - 1;
    int bad = (int)syscall(SYS_fsconfig, fs, SET_STRING, "source", run->image, 0);
    for (char **device = run->devices; !bad && *device; device++)
        bad = (int)syscall(SYS_fsconfig, fs, SET_STRING, "device", *device, 0);
    if (!bad) bad = (int)syscall(SYS_fsconfig, fs, SET_CREATE, NULL, NULL, 0);
    int fd = bad ? -1 : (int)syscall(SYS_fsmount, fs, 1, READ_ONLY | NO_SUID | NO_DEV);
    if (fd < 0) {
        char said[256];
        int error = errno;
        ssize_t n = read(fs, said, sizeof said - 1); /* the kernel's own words, if it has some */
        said[n > 0 ? n : 0] = 0;
        fail("cannot mount the image %s: %s%s%s", run->image, strerror(error), *said ? ": " : "",
             said);
    }
    close(fs);
    return fd;
}


/* Show each entry of the directory `at` under /pfs; a symlink is copied. `switching`: `at` is
 * outside, so that the way there and back is made for each. */
static int show_entries(int at, int switching) {
    DIR *folder = fdopendir(at);
    if (!folder) {
        close(at);
        return fail("%s", strerror(errno));
    }
    int good = 1;
    struct dirent *one;
    while (good && (one = readdir(folder))) {
        const char *name = one->d_name;
        char path[PATH_MAX], target[PATH_MAX];
        struct stat info;
        if (!strcmp(name, ".") || !strcmp(name, "..") || !under_pfs(path, name)) continue;
        if (fstatat(dirfd(folder), name, &info, AT_SYMLINK_NOFOLLOW)) {
            good = fail("%s: %s", name, strerror(errno));
        } else if (S_ISLNK(info.st_mode)) {
            ssize_t n = readlinkat(dirfd(folder), name, target, sizeof target - 1);
            target[n > 0 ? n : 0] = 0;
            if (symlink(target, path)) good = fail("%s: %s", path, strerror(errno));
        } else if (S_ISDIR(info.st_mode) || S_ISREG(info.st_mode)) {
            if (switching && !go(outside)) _exit(72);
            int fd = detached(dirfd(folder), name, READ_ONLY | NO_SUID | NO_DEV);
            if (switching && !go(inside)) _exit(72);
            good = fd >= 0 && make_point(path, info.st_mode) && attach(fd, path);
            if (fd >= 0) close(fd);
        }
    }
    closedir(folder);
    return good;
}

static int show_image(int fd) {
    const char *point = "/pfs/.image";
    if (mkdir(point, 0700)) return fail("%s: %s", point, strerror(errno));
    if (!attach(fd, point)) return 0;
    int at = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) return fail("%s: %s", point, strerror(errno));
    int good = show_entries(at, 0);
    umount2(point, MNT_DETACH);
    rmdir(point);
    return good;
}

static int show_links(const struct run *run) {
    for (uint32_t from = 0; from < run->link_count; from += AT_ONCE) {
        int fds[AT_ONCE], good = 1;
        uint32_t n = run->link_count - from < AT_ONCE ? run->link_count - from : AT_ONCE, had = 0;
        if (!go(outside)) _exit(72);
        for (; had < n; had++) {
            fds[had] = detached(AT_FDCWD, run->links[from + had].source, READ_ONLY | NO_SUID | NO_DEV);
            if (fds[had] < 0) break;
        }
        good = had == n;
        if (!go(inside)) _exit(72);
        for (uint32_t i = 0; i < had; i++) {
            char path[PATH_MAX];
            good = good && under_pfs(path, run->links[from + i].path) &&
                   make_point(path, S_IFREG) && attach(fds[i], path);
            close(fds[i]);
        }
        if (!good) return 0;
    }
    return 1;
}

static int show_dotenv(const struct run *run) {
    size_t size = 0;
    for (char **one = run->env; *one; one++) size += strlen(*one) + 1;
    char *text = need(malloc(size + 1)), *end = text;
    for (char **one = run->env; *one; one++) end += sprintf(end, "%s\n", *one);
    int good = write_file("/pfs/.env", 0444, text, size);
    free(text);
    return good;
}

/* Files, directories and mounts under a /pfs that is still ours alone. */
static int fill(const struct run *run, int out, int tree, int image) {
    char path[PATH_MAX];
    if (image >= 0 && !show_image(image)) return 0;
    if (tree >= 0) {
        int again = fcntl(tree, F_DUPFD_CLOEXEC, 3);
        if (again < 0) return fail("%s: %s", run->tree, strerror(errno));
        if (!show_entries(again, 1)) return 0;
    }
    for (char **dir = run->dirs; *dir; dir++)
        if (!under_pfs(path, *dir) || !make_point(path, S_IFDIR)) return 0;
    for (uint32_t i = 0; i < run->file_count; i++)
        if (!under_pfs(path, run->files[i].path) ||
            !write_file(path, 0444, run->files[i].data, run->files[i].size))
            return 0;
    if (!show_links(run)) return 0;
    if (config.batching && !show_dotenv(run)) return 0;
    struct stat info; /* a directory, or the pipe of a spout */
    if (fstat(out, &info)) return fail("%s: %s", run->out, strerror(errno));
    if (!make_point("/pfs/out", info.st_mode) || !attach(out, "/pfs/out")) return 0;
    return restrict_mount(AT_FDCWD, "/pfs", 0, READ_ONLY);
}

int present(const struct run *run) {
    int out, tree = -1, image = -1, good = 0;
    char options[64];
    uint64_t room = 1 << 20; /* whole pages, and the kernel's own share */
    for (uint32_t i = 0; i < run->file_count; i++) room += (run->files[i].size | 4095) + 1;
    snprintf(options, sizeof options, "mode=755,size=%llu", (unsigned long long)room);
    if (!go(outside)) _exit(72);
    out = detached(AT_FDCWD, run->out, NO_SUID | NO_DEV);
    if (out >= 0 && config.become && fchownat(out, "", config.uid, config.gid, AT_EMPTY_PATH)) {
        fail("%s: %s", run->out, strerror(errno));
        goto back;
    }
    if (out < 0) goto back;
    if (run->tree && (tree = open(run->tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        fail("%s: %s", run->tree, strerror(errno));
        goto back;
    }
    if (run->image && (image = open_image(run)) < 0) goto back;
    good = 1;
back:
    if (!go(inside)) _exit(72); /* a namespace of our own: never refused to who was there */
    if (good && mount("tmpfs", "/pfs", "tmpfs", MS_NOSUID | MS_NODEV, options))
        good = fail("mount /pfs: %s", strerror(errno));
    else if (good)
        standing = 1;
    good = good && fill(run, out, tree, image);
    if (out >= 0) close(out);
    if (tree >= 0) close(tree);
    if (image >= 0) close(image);
    return good;
}

void unpresent(void) {
    if (standing && umount2("/pfs", MNT_DETACH)) _exit(73);
    standing = 0;
}

void shield(const char *path) {
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) == 0)
        restrict_mount(AT_FDCWD, path, RECURSIVE, READ_ONLY);
}

/* Once, as process 1: into the root that the Python worker made (or the container's, where it
 * made the places for mounts), and forget the host's. */
int enter_sandbox(void) {
    outside = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (outside < 0) return fail("/proc/self/ns/mnt: %s", strerror(errno));
    if (config.container) {
        inside = config.inside;
        if (!go(inside)) return 0;
        if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
            return fail("mount /proc: %s", strerror(errno));
        mask_proc();
        return go(outside) && go(inside);
    }
    if (unshare(CLONE_NEWNS)) return fail("unshare: %s", strerror(errno));
    inside = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (inside < 0 || chdir(config.root) || syscall(SYS_pivot_root, ".", ".") ||
        umount2(".", MNT_DETACH) || chdir("/"))
        return fail("pivot_root %s: %s", config.root, strerror(errno));
    /* Inside some containers the outer /proc stays, with outer numbers. */
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) && errno != EPERM)
        return fail("mount /proc: %s", strerror(errno));
    if (config.protect) {
        /* Written by root, these change the running kernel. */
        shield("/proc/sys");
        shield("/proc/sysrq-trigger");
        shield("/proc/irq");
        shield("/proc/bus");
    }
    return go(outside) && go(inside);
}
