/* Frames: u32 length of what follows, one byte of type, a body. Numbers are little-endian;
 * a text is its u32 length, its bytes and a NUL; a list its u32 count and its texts. */
#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME_MAX (1u << 30)

void *need(void *memory) {
    if (!memory) _exit(70);
    return memory;
}

static const char *take(struct reader *r, size_t size) {
    if (r->bad || size > r->left) {
        r->bad = 1;
        return NULL;
    }
    const char *at = r->at;
    r->at += size;
    r->left -= size;
    return at;
}

static uint64_t number(struct reader *r, size_t size) {
    const char *at = take(r, size);
    uint64_t value = 0;
    if (at) memcpy(&value, at, size);
    return value;
}

uint8_t get_u8(struct reader *r) { return (uint8_t)number(r, 1); }
uint32_t get_u32(struct reader *r) { return (uint32_t)number(r, 4); }
uint64_t get_u64(struct reader *r) { return number(r, 8); }

const char *get_text(struct reader *r, size_t *size) {
    size_t length = get_u32(r);
    const char *at = take(r, length + 1);
    if (at && at[length] != 0) {
        r->bad = 1;
        at = NULL;
    }
    if (size) *size = at ? length : 0;
    return at ? at : "";
}

/* A count that the rest of the frame can hold, each item of which takes `least` bytes. */
static uint32_t count(struct reader *r, size_t least) {
    uint32_t n = get_u32(r);
    if (n > r->left / least) {
        r->bad = 1;
        return 0;
    }
    return n;
}

char **get_list(struct reader *r) {
    uint32_t n = count(r, 5);
    char **list = need(calloc((size_t)n + 1, sizeof *list));
    for (uint32_t i = 0; i < n; i++) list[i] = (char *)get_text(r, NULL);
    return list;
}

struct run *parse_run(char *frame, size_t size) {
    struct reader r = {frame, size, 0};
    struct run *run = need(calloc(1, sizeof *run));
    run->frame = frame;
    run->number = get_u32(&r);
    uint8_t flags = get_u8(&r);
    run->err_cmd = flags & RUN_ERR_CMD;
    run->endless = flags & RUN_ENDLESS;
    run->timeout_us = get_u64(&r);
    run->grace_ms = get_u32(&r);
    run->out = get_text(&r, NULL);
    run->cwd = get_text(&r, NULL);
    run->argv = get_list(&r);
    run->input = get_text(&r, &run->input_size);
    run->shared = get_list(&r);
    run->env = get_list(&r);
    run->dirs = get_list(&r);
    run->file_count = count(&r, 10);
    run->files = need(calloc((size_t)run->file_count + 1, sizeof *run->files));
    for (uint32_t i = 0; i < run->file_count; i++) {
        run->files[i].path = get_text(&r, NULL);
        run->files[i].data = get_text(&r, &run->files[i].size);
    }
    run->link_count = count(&r, 10);
    run->links = need(calloc((size_t)run->link_count + 1, sizeof *run->links));
    for (uint32_t i = 0; i < run->link_count; i++) {
        run->links[i].path = get_text(&r, NULL);
        run->links[i].source = get_text(&r, NULL);
    }
    run->tree = get_text(&r, NULL);
    run->image = get_text(&r, NULL);
    run->devices = get_list(&r);
    if (!*run->tree) run->tree = NULL;
    if (!*run->image) run->image = NULL;
    if (r.bad) _exit(71);
    return run;
}

void free_run(struct run *run) {
    free(run->argv);
    free(run->shared);
    free(run->env);
    free(run->dirs);
    free(run->files);
    free(run->links);
    free(run->devices);
    free(run->frame);
    free(run);
}

/* What is read of the frame under way: its length, then the frame itself. */
static struct { char head[4]; size_t head_size; char *frame; size_t size, filled; } input;

static ssize_t read_some(char *to, size_t size) {
    ssize_t n;
    do n = read(0, to, size);
    while (n < 0 && errno == EINTR);
    return n;
}

int read_control(void) {
    ssize_t n;
    if (input.head_size < sizeof input.head) {
        n = read_some(input.head + input.head_size, sizeof input.head - input.head_size);
        if (n > 0) input.head_size += (size_t)n;
        if (input.head_size == sizeof input.head) {
            uint32_t size;
            memcpy(&size, input.head, sizeof size);
            if (size < 1 || size > FRAME_MAX) _exit(71);
            input.frame = need(malloc(size));
            input.size = size;
            input.filled = 0;
        }
        if (n <= 0) return n < 0 && errno == EAGAIN;
    }
    if (input.frame && input.filled < input.size) {
        n = read_some(input.frame + input.filled, input.size - input.filled);
        if (n > 0) input.filled += (size_t)n;
        if (n <= 0) return n < 0 && errno == EAGAIN;
    }
    return 1;
}

int next_frame(struct frame *frame) {
    if (!input.frame || input.filled < input.size) return 0;
    frame->type = input.frame[0];
    frame->size = input.size - 1;
    memmove(input.frame, input.frame + 1, frame->size);
    frame->body = input.frame;
    input.frame = NULL;
    input.head_size = 0;
    return 1;
}

static struct { char *data; size_t start, end, room; } output;

static void put(const void *data, size_t size) {
    if (output.start && output.room - output.end < size) {
        memmove(output.data, output.data + output.start, output.end - output.start);
        output.end -= output.start;
        output.start = 0;
    }
    if (output.room - output.end < size) {
        output.room = (output.end + size) * 2;
        output.data = need(realloc(output.data, output.room));
    }
    memcpy(output.data + output.end, data, size);
    output.end += size;
}

static void head(char type, size_t size) {
    uint32_t length = (uint32_t)size + 1;
    put(&length, sizeof length);
    put(&type, 1);
}

static void put_string(const char *text) {
    uint32_t size = (uint32_t)strlen(text);
    put(&size, sizeof size);
    put(text, size + 1);
}

void put_output(uint32_t run, const char *data, size_t size) {
    head('O', sizeof run + size);
    put(&run, sizeof run);
    put(data, size);
}

void put_text(char type, const char *text) {
    head(type, strlen(text));
    put(text, strlen(text));
}

void put_result(uint32_t run, const struct result *result) {
    const char *text = result->text ? result->text : "";
    head('E', 4 + 1 + 1 + 4 + 4 * 8 + 4 + strlen(text) + 1);
    put(&run, 4);
    put(&result->kind, 1);
    put(&result->flags, 1);
    put(&result->status, 4);
    put(&result->wall_us, 8);
    put(&result->cpu_us, 8);
    put(&result->rss, 8);
    put(&result->dropped, 8);
    put_string(text);
}

size_t pending(void) { return output.end - output.start; }

int flush(void) {
    while (output.start < output.end) {
        ssize_t n = write(1, output.data + output.start, output.end - output.start);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN;
        output.start += (size_t)n;
    }
    output.start = output.end = 0;
    return 1;
}
