/* The interpreter of the one file: Python from the folder beside it, cut off from whatever Python
 * the machine has. It is what sys.executable names, so children of the box start the same way.
 *
 * The library is opened, not linked, so that a machine whose C library is too old is told so. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <unistd.h>

#define ROOM 4096

static int refuse(const char *what, const char *why) {
    fprintf(stderr, "pachybox: %s: %s\n", what, why);
    return 1;
}

/* The stub held the cache by a lock on this descriptor until we are there to hold it ourselves. */
static void take_over(void) {
    const char *number = getenv("PACHYBOX_CACHE_LOCK");
    if (!number)
        return;
    fcntl(atoi(number), F_SETFD, FD_CLOEXEC);
    unsetenv("PACHYBOX_CACHE_LOCK");
}

/* So that nobody prunes the folder while we run from it. */
static void hold(const char *root) {
    char path[ROOM];
    snprintf(path, sizeof path, "%s/.lock", root);
    int lock = open(path, O_RDONLY | O_CLOEXEC);
    if (lock >= 0)
        flock(lock, LOCK_SH | LOCK_NB);
}

int main(int argc, char **argv) {
    char self[ROOM], library[ROOM + 64];
    const char *called = (const char *)getauxval(AT_EXECFN); /* there without /proc, too */
    char root[ROOM];
    if (!called || !realpath(called, self))
        return refuse(argv[0], strerror(errno));
    strcpy(root, self);
    for (int up = 0; up < 2; up++)
        *strrchr(root, '/') = 0;
    take_over();
    hold(root);

    snprintf(library, sizeof library, "%s/lib/" LIBPYTHON, root);
    void *python = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
    if (!python) {
        fprintf(stderr,
                "pachybox: it needs glibc " GLIBC " or newer (Debian 12, Ubuntu 22.04), and this is "
                "glibc %s: %s\n",
                gnu_get_libc_version(), dlerror());
        return 1;
    }
    int (*start)(int, char **);
    *(void **)&start = dlsym(python, "Py_BytesMain");
    if (!start)
        return refuse(library, "no Py_BytesMain in it");

    /* Isolated, and without site: all there is lies in one folder. A restart brings both along. */
    int has = argc > 2 && !strcmp(argv[1], "-I") && !strcmp(argv[2], "-S");
    char **all = calloc(argc + 3, sizeof *all);
    if (!all)
        return refuse("memory", strerror(errno));
    int count = 0;
    all[count++] = self;
    if (!has) {
        all[count++] = "-I";
        all[count++] = "-S";
    }
    for (int i = 1; i < argc; i++)
        all[count++] = argv[i];
    return start(count, all);
}
