//! What the stub takes from Zig's standard library: zstd and BLAKE3, as functions for C.

const std = @import("std");
const zstd = std.compress.zstd;

/// Each time it is full, the window's 8 MiB are moved to its front: so it has room for three.
var window: [3 * zstd.default_window_len + zstd.block_size_max]u8 = undefined;
var input: std.Io.Reader = undefined;
var stream: zstd.Decompress = undefined;
var hasher: std.crypto.hash.Blake3 = undefined;

/// Begin to read what is packed at `data`.
export fn unpack_start(data: [*]const u8, length: usize) void {
    input = .fixed(data[0..length]);
    stream = .init(&input, &window, .{});
}

/// The next `length` bytes, all of them; false where the data ends or is damaged.
export fn unpack_read(into: [*]u8, length: usize) bool {
    stream.reader.readSliceAll(into[0..length]) catch return false;
    return true;
}

export fn hash_start() void {
    hasher = .init(.{});
}

export fn hash_update(data: [*]const u8, length: usize) void {
    hasher.update(data[0..length]);
}

/// The 32 bytes of the hash of what was given since `hash_start`.
export fn hash_end(into: *[32]u8) void {
    hasher.final(into);
}
