/* The stub of the one file. main.c finds a place and starts the program, cache.c proves what lies
 * there, unpack.c fills it, codec.zig decompresses and hashes. */

#ifndef STUB_H
#define STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ROOM 4096
#define HASH 32

/* The last bytes of the file, little-endian; build.py writes them. */
struct trailer {
    char magic[16];
    uint64_t offset;   /* of the payload */
    uint64_t length;   /* of it, packed */
    uint64_t unpacked; /* bytes */
    uint64_t manifest; /* bytes of the list of files, unpacked */
    uint64_t packed;   /* bytes of it as it lies there, at the payload's start */
    uint8_t name[HASH];  /* the payload's hash: names its folder */
    uint8_t proof[HASH]; /* the manifest's hash */
    uint8_t reserved[8];
};

#define MAGIC "pachybox-payload"

struct payload {
    struct trailer about;
    const uint8_t *data;
    char name[2 * HASH + 1];
};

/* Why a place will not do, for the user; empty where nothing is wrong. */
struct reason {
    char text[ROOM + 256];
};

/* Make `place`/NAME hold the payload. Leaves in `lock` a descriptor that keeps others from pruning
 * it. `thorough` reads every file, else sizes and times are looked at. */
bool ready(const char *place, const struct payload *payload, bool thorough, int *lock,
           struct reason *why);

void explain(struct reason *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* unpack.c */
#define WHEN 315532800 /* every file's time, so that one that was changed shows */
#define CHUNK (1 << 20)
#define PATH 2 * ROOM

/* One file in the manifest: "MODE SIZE HASH PATH". */
struct entry {
    unsigned mode;
    unsigned long long size;
    char hash[2 * HASH + 1];
    char path[ROOM];
};

extern uint8_t chunk[CHUNK];

/* The entry on a line, and the next line; NULL where there is none. */
const char *next_entry(const char *line, struct entry *entry);
const char *next_group(const char *line, size_t *offset, size_t *length);
void hash_text(char text[2 * HASH + 1]);
bool make_folders(const char *path, mode_t mode);
bool unpack(const char *place, const struct payload *payload, struct reason *why);

/* cache.c: take a folder out of sight, then remove it. */
void retire(const char *place, const char *tree);
void remove_tree(const char *path);

/* codec.zig */
void unpack_start(const uint8_t *data, size_t length);
bool unpack_read(uint8_t *into, size_t length);
void hash_start(void);
void hash_update(const uint8_t *data, size_t length);
void hash_end(uint8_t into[HASH]);

#endif
