"""What a file is, by its name and its first bytes."""

from __future__ import annotations

from pathlib import PurePosixPath

_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv",
    ".parquet": "parquet", ".pq": "parquet", ".parq": "parquet",
    ".json": "json", ".geojson": "json", ".ipynb": "json",
    ".yaml": "yaml", ".yml": "yaml",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".ldjson": "jsonl",
    ".md": "markdown", ".markdown": "markdown",
    ".ppm": "image", ".pgm": "image", ".pbm": "image",
}  # fmt: skip

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PAR1", "Parquet"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"GIF87a", "GIF image"),
    (0, b"GIF89a", "GIF image"),
    (8, b"WEBP", "WebP image"),
    (0, b"BM", "BMP image"),
    (0, b"II*\0", "TIFF image"),
    (0, b"MM\0*", "TIFF image"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"%PDF-", "PDF"),
    (0, b"PK\3\4", "zip archive (or office file, wheel, npz)"),
    (0, b"PK\5\6", "empty zip archive"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstandard"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-zip archive"),
    (257, b"ustar", "tar archive"),
    (0, b"\x7fELF", "ELF program or library"),
    (0, b"MZ", "Windows program"),
    (0, b"\xca\xfe\xba\xbe", "Java class or Mach-O program"),
    (0, b"\0asm", "WebAssembly"),
    (0, b"SQLite format 3\0", "SQLite database"),
    (8, b"DUCK", "DuckDB database"),
    (0, b"\x93NUMPY", "NumPy array"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"ARROW1", "Arrow file"),
    (0, b"Obj\x01", "Avro"),
    (0, b"ORC", "ORC"),
    (0, b"\x80\x02", "Python pickle"),
    (0, b"\x80\x03", "Python pickle"),
    (0, b"\x80\x04", "Python pickle"),
    (0, b"\x80\x05", "Python pickle"),
    (0, b"OggS", "Ogg audio or video"),
    (0, b"fLaC", "FLAC audio"),
    (0, b"ID3", "MP3 audio"),
    (8, b"WAVE", "WAV audio"),
    (8, b"AVI ", "AVI video"),
    (4, b"ftyp", "MP4 video"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (0, b"GRIB", "GRIB"),
    (0, b"CDF\x01", "NetCDF"),
    (0, b"GGUF", "GGUF model"),
)

_IMAGES = ("PNG image", "JPEG image", "GIF image", "WebP image", "BMP image", "TIFF image", "icon")


def magic(head: bytes) -> str:
    """What the first bytes say the file is; empty when they say nothing known."""
    for at, mark, name in _MAGIC:
        if head.startswith(mark, at):
            return name
    return ""


def binary(head: bytes) -> bool:
    """Whether ``head`` is no text: zero bytes, or more than a tenth control codes."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        return False
    sample = head[:8192]
    if b"\0" in sample:
        return True
    odd = sum(1 for byte in sample if byte < 32 and byte not in b"\t\n\v\f\r\x1b\b")
    return odd * 10 > len(sample)


def kind(path: str, head: bytes) -> str:
    """One of csv, parquet, json, jsonl, yaml, image, markdown, text, binary."""
    found = magic(head)
    if found == "Parquet":
        return "parquet"
    if found in _IMAGES and (found != "BMP image" or binary(head)):
        return "image"
    by_name = named(path)
    if by_name in ("parquet", "image"):
        return by_name
    if binary(head):
        return "binary"
    return by_name or "text"


def named(path: str) -> str:
    """What the name alone says; empty when it says nothing known."""
    return _SUFFIXES.get(PurePosixPath(path).suffix.lower(), "")
