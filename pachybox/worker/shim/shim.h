/* The shim: serves the datums of one worker inside a sandbox that the Python worker prepared.
 *
 *   guardian (the process the daemon started) --clone(NEWNS|NEWPID)--> init --vfork--> user code
 *
 * Init is process 1 of the worker's PID namespace and alone in its mount namespace but for user
 * code. It talks to the daemon on descriptors 0 and 1 (frames: wire.c), shows each datum's
 * inputs at /pfs (present.c), starts the command (spawn.c), watches it (serve.c) and, when it
 * has ended, kills whatever is left: kill(-1) reaches all of the namespace and spares init.
 *
 * With an image, init's namespaces lie within those of a container (join.c), whose own first
 * process is this program too, as `hold`.
 * docs/runners.md says what it promises, pachybox/worker/wire.py and shim.py what it is sent. */
#ifndef PACHYBOX_SHIM_H
#define PACHYBOX_SHIM_H

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROTOCOL 4 /* pachybox/worker/handover.py has the same number */

struct file { const char *path; const char *data; size_t size; };
struct link { const char *path; const char *source; };

/* One attempt at one datum, as the daemon sent it; strings point into `frame`. */
struct run {
    struct run *next;
    char *frame;
    uint32_t number;
    uint64_t timeout_us; /* 0: no bound */
    uint32_t grace_ms;   /* between SIGTERM and SIGKILL of a cancel */
    int err_cmd, cancelled;
    int endless;         /* it may print for months: no bound on the whole */
    const char *out, *cwd;
    char **argv;
    const char *input;
    size_t input_size;
    char **shared; /* the environment of all datums of the pipeline */
    char **env;    /* and this datum's, which wins */
    char **dirs;
    struct file *files;
    uint32_t file_count;
    struct link *links;
    uint32_t link_count;
    const char *tree, *image; /* NULL: none */
    char **devices;
};

/* What all runs of the worker share: the configuration the Python worker left. */
struct config {
    int protect; /* user code has uid 0: the kernel's own files are shielded from it */
    int become;  /* change to uid and gid before user code */
    uint32_t uid, gid;
    int batching;
    int oom;        /* keep the memory limit's killer away from the shim */
    uint64_t kept;  /* capabilities that root's code may hold */
    const char *root, *ready;
    char **env;
    int container;       /* the descriptors below are of one; user code is in it */
    int inside, pids;    /* its mounts, with /pfs made; its process numbers */
    int others[8];       /* namespaces to enter beside these, -1 behind the last */
    uint32_t groups[64]; /* user code's supplementary ones */
    uint32_t group_count;
};

extern struct config config;

/* wire.c */
struct reader { const char *at; size_t left; int bad; };
uint8_t get_u8(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
const char *get_text(struct reader *r, size_t *size);
char **get_list(struct reader *r);
void *need(void *memory);
struct run *parse_run(char *frame, size_t size);
void free_run(struct run *run);
enum { RUN_ERR_CMD = 1, RUN_ENDLESS = 2 };
struct frame { char type; char *body; size_t size; };
int read_control(void);               /* 0 when the daemon has hung up */
int next_frame(struct frame *frame);  /* a whole frame that was read, to be freed */
void put_output(uint32_t run, const char *data, size_t size);
void put_text(char type, const char *text);
struct result {
    uint8_t kind; /* RESULT_* */
    uint8_t flags;
    int32_t status;
    uint64_t wall_us, cpu_us, rss, dropped;
    const char *text;
};
enum { RESULT_STATUS, RESULT_ERROR, RESULT_KILLED, RESULT_SAID };
enum { TIMED_OUT = 1, CANCELLED = 2 };
void put_result(uint32_t run, const struct result *result);
size_t pending(void);  /* bytes not yet taken by the daemon */
int flush(void);       /* 0 when the daemon is gone */

/* join.c */
int hold(void);
int join_container(void);
int clone_init(void);
void mask_proc(void);

/* present.c */
int enter_sandbox(void);
int present(const struct run *run); /* on failure explained by `failure` */
void unpresent(void);
void shield(const char *path);

/* spawn.c */
pid_t spawn(const struct run *run, int input, int output);
void limit_rights(void);
char *variable(char **env, const char *name);

/* batch.c */
int batch_open(void);
int batch_descriptor(short *events);
void batch_event(void);
int batch_asks(const char **error);  /* user code has called `next` and waits */
int batch_answer(const struct run *run); /* run NULL: there are no more */
struct usage { uint64_t cpu_us, rss; };
struct usage batch_usage(pid_t pid);
void batch_forget_peak(pid_t pid);

/* serve.c */
int serve(void);
int64_t now_us(void);

/* The reason of what failed last, for people. */
extern char failure[4096];
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
