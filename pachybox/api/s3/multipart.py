"""Multipart uploads: parts in any order, in parallel; completed without rewriting."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from pachybox.api.s3.absent import owner_xml, refuse_headers
from pachybox.api.s3.buckets import read_xml
from pachybox.api.s3.checksums import (
    COMPOSITE,
    FULL,
    NAMES,
    SIZES,
    algorithm,
    base64_of,
    combined,
    composite,
    digest_of,
)
from pachybox.api.s3.conditions import of_write
from pachybox.api.s3.context import Ask
from pachybox.api.s3.copies import source_of
from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.listing import encoder, max_of
from pachybox.api.s3.objects import checksums_xml, number_of
from pachybox.api.s3.puts import attributes_of, receive, version
from pachybox.api.s3.times import iso
from pachybox.api.s3.xml import Node, document, tag
from pachybox.pfs.object_types import (
    MAX_PARTS,
    NoSuchKey,
    NoSuchUpload,
    ObjectInfo,
    PartInfo,
    Upload,
)

_COPY_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")


def create(ask: Ask) -> None:
    """CreateMultipartUpload."""
    refuse_headers(ask)
    bucket, headers = ask.bucket(), ask.headers
    ask.payload().read_all(64 << 10)
    name = algorithm(said) if (said := headers.get("x-amz-checksum-algorithm")) else ""
    kind = _checksum_type(name, headers.get("x-amz-checksum-type", "").upper())
    upload = ask.objects.create_upload(bucket, ask.key, attributes_of(headers), name, kind)
    inner = tag("Bucket", ask.bucket_name) + tag("Key", ask.key) + tag("UploadId", upload.id)
    more = []
    if name:
        more = [("x-amz-checksum-algorithm", NAMES[name]), ("x-amz-checksum-type", kind)]
    ask.send_xml(document("InitiateMultipartUploadResult", inner), more)


def _checksum_type(name: str, said: str) -> str:
    """The type of an upload's checksum. Raises InvalidRequest for one that is not to be had."""
    if said not in ("", FULL, COMPOSITE):
        raise S3Error("InvalidRequest", f"x-amz-checksum-type must be {FULL} or {COMPOSITE}.")
    if not name:
        if said:
            raise S3Error("InvalidRequest", "x-amz-checksum-type needs x-amz-checksum-algorithm.")
        return ""
    if name == "crc64nvme":
        if said == COMPOSITE:
            raise S3Error("InvalidRequest", f"The {COMPOSITE} checksum of CRC64NVME is none.")
        return FULL
    if said == FULL and not name.startswith("crc"):
        raise S3Error("InvalidRequest", f"The {FULL} checksum of {NAMES[name]} is none.")
    return said or COMPOSITE


def _upload(ask: Ask) -> Upload:
    return ask.objects.upload(ask.bucket(), ask.key, ask.query["uploadId"])


def _part_number(ask: Ask) -> int:
    text = ask.query.get("partNumber", "")
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= MAX_PARTS:
        raise S3Error(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive.",
            fields={"ArgumentName": "partNumber", "ArgumentValue": text[:80]},
        )
    return int(text)


def upload_part(ask: Ask) -> None:
    """UploadPart."""
    number, upload = _part_number(ask), _upload(ask)
    payload = ask.payload()
    payload.need_length()
    # The upload's checksum is made of every part, so that the whole has one.
    wanted = payload.wanted | ({upload.checksum_algorithm} - {""})
    with ask.objects.intake(wanted) as intake:
        stored = receive(payload, intake)
        checksums = payload.verify(stored.digests, stored.size)
        if name := upload.checksum_algorithm:
            checksums = {name: base64_of(stored.digests[name])}
        part = ask.objects.put_part(upload, number, stored, checksums)
    headers = [("ETag", f'"{part.etag}"')]
    headers += [(f"x-amz-checksum-{name}", value) for name, value in checksums.items()]
    ask.send(200, headers)


def copy_part(ask: Ask) -> None:
    """UploadPartCopy, of a range or the whole."""
    number, upload = _part_number(ask), _upload(ask)
    _, info = source_of(ask)
    offset, length = 0, info.size
    if text := ask.headers.get("x-amz-copy-source-range"):
        match = _COPY_RANGE.fullmatch(text.strip())
        if match is None or int(match[1]) > int(match[2]):
            raise S3Error(
                "InvalidArgument", "x-amz-copy-source-range must be bytes=first-last, both given."
            )
        if int(match[2]) >= info.size:
            raise S3Error(
                "InvalidRange",
                f"Range specified is not valid for source object of size: {info.size}",
            )
        offset, length = int(match[1]), int(match[2]) + 1 - int(match[1])
    part = ask.objects.copy_part(upload, number, info, offset, length)
    inner = tag("LastModified", iso(part.modified)) + tag("ETag", f'"{part.etag}"')
    inner += checksums_xml(part.checksums)
    headers = [("x-amz-copy-source-version-id", info.version)] if info.version else []
    ask.send_xml(document("CopyPartResult", inner), headers)


def list_parts(ask: Ask) -> None:
    """ListParts."""
    upload = _upload(ask)
    most = min(max_of(ask, "max-parts"), 1000)
    after = number_of(ask.query.get("part-number-marker") or "0", "part-number-marker")
    page = ask.objects.parts(upload, after, most) if most else None
    parts = page.parts if page else []
    inner = tag("Bucket", ask.bucket_name) + tag("Key", ask.key) + tag("UploadId", upload.id)
    inner += owner_xml("Initiator") + owner_xml() + tag("StorageClass", "STANDARD")
    inner += tag("PartNumberMarker", after)
    inner += tag("NextPartNumberMarker", parts[-1].number if parts else after)
    inner += tag("MaxParts", most)
    inner += tag("IsTruncated", str(bool(page and page.truncated)).lower())
    if name := upload.checksum_algorithm:
        inner += tag("ChecksumAlgorithm", NAMES[name]) + tag("ChecksumType", upload.checksum_type)
    inner += "".join(
        f"<Part>{tag('PartNumber', p.number)}{tag('LastModified', iso(p.modified))}"
        f"<ETag>&quot;{p.etag}&quot;</ETag>{tag('Size', p.size)}{checksums_xml(p.checksums)}</Part>"
        for p in parts
    )
    ask.send_xml(document("ListPartsResult", inner))


def list_uploads(ask: Ask) -> None:
    """ListMultipartUploads."""
    bucket, query = ask.bucket(), ask.query
    most, show = min(max_of(ask, "max-uploads"), 1000), encoder(ask)
    key_marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
    inner = tag("Bucket", ask.bucket_name)
    inner += f"<KeyMarker>{show(key_marker)}</KeyMarker>" + tag("UploadIdMarker", id_marker)
    for name in ("prefix", "delimiter"):
        if query.get(name):
            inner += f"<{name.capitalize()}>{show(query[name])}</{name.capitalize()}>"
    if query.get("encoding-type"):
        inner += tag("EncodingType", "url")
    inner += tag("MaxUploads", most)
    if not most:
        ask.send_xml(document("ListMultipartUploadsResult", inner + tag("IsTruncated", "false")))
        return
    page = ask.objects.uploads(
        bucket, query.get("prefix", ""), query.get("delimiter", ""), key_marker, id_marker, most
    )
    inner += tag("IsTruncated", str(page.truncated).lower())
    if page.truncated:
        inner += f"<NextKeyMarker>{show(page.next_key)}</NextKeyMarker>"
        inner += tag("NextUploadIdMarker", page.next_id)
    for upload in page.uploads:
        summed = ""
        if name := upload.checksum_algorithm:
            summed = tag("ChecksumAlgorithm", NAMES[name])
            summed += tag("ChecksumType", upload.checksum_type)
        inner += (
            f"<Upload><Key>{show(upload.key)}</Key>{tag('UploadId', upload.id)}"
            f"{owner_xml('Initiator')}{owner_xml()}{tag('StorageClass', 'STANDARD')}"
            f"{tag('Initiated', iso(upload.started))}{summed}</Upload>"
        )
    inner += "".join(
        f"<CommonPrefixes><Prefix>{show(p)}</Prefix></CommonPrefixes>" for p in page.prefixes
    )
    ask.send_xml(document("ListMultipartUploadsResult", inner))


@dataclass(slots=True)
class _Chosen:
    """A part as the completion names it."""

    number: int
    etag: str
    checksums: dict[str, str] = field(default_factory=dict)


def complete(ask: Ask) -> None:
    """CompleteMultipartUpload."""
    condition = of_write(ask.headers)
    try:
        upload = _upload(ask)
    except NoSuchUpload:
        _send_completed(ask, _completed_before(ask))
        return
    # A checksum in the header is that of the object, not of this body.
    chosen = _chosen(read_xml(ask, "CompleteMultipartUpload", summed=False))
    known = {part.number: part for part in _all_parts(ask, upload)}
    for part in chosen:
        _check_part(part, known.get(part.number))
    _check_summed(upload, chosen)
    there = [known[part.number] for part in chosen]
    size = ask.headers.get("x-amz-mp-object-size")
    if size is not None and number_of(size, "x-amz-mp-object-size") != sum(p.size for p in there):
        raise S3Error("InvalidRequest", "x-amz-mp-object-size is not the size of the parts.")
    checksums = _whole(ask.headers, upload, there)
    info = ask.objects.complete(upload, [(p.number, p.etag) for p in chosen], condition, checksums)
    _send_completed(ask, info)


def _completed_before(ask: Ask) -> ObjectInfo:
    """The object, where it is what this completion would make: its client lost the first answer.

    Raises NoSuchUpload otherwise.
    """
    chosen = _chosen(read_xml(ask, "CompleteMultipartUpload", summed=False))
    digests = [part.etag for part in chosen]
    if all(re.fullmatch(r"[0-9a-f]{32}", digest) for digest in digests):
        made = hashlib.md5(bytes.fromhex("".join(digests)), usedforsecurity=False).hexdigest()
        try:
            info = ask.objects.get(ask.bucket(), ask.key)
            if info.attributes.etag == f"{made}-{len(chosen)}":
                return info
        except NoSuchKey:
            pass
    raise NoSuchUpload(f"upload {ask.query['uploadId'][:80]} not found")


def _send_completed(ask: Ask, info: ObjectInfo) -> None:
    host = ask.headers.get("host", "localhost")
    inner = tag("Location", f"http://{host}{ask.request.path}") + tag("Bucket", ask.bucket_name)
    inner += tag("Key", ask.key) + tag("ETag", f'"{info.etag}"')
    inner += checksums_xml(info.attributes.checksums, info.attributes.checksum_type)
    ask.send_xml(document("CompleteMultipartUploadResult", inner), version(info))


def _chosen(root: Node) -> list[_Chosen]:
    found = []
    for node in root.all("Part"):
        number, etag = node.word("PartNumber"), node.word("ETag").strip('"')
        if not re.fullmatch(r"[0-9]{1,5}", number) or not etag:
            raise S3Error("MalformedXML", "A Part has a PartNumber and an ETag.")
        sums = {n: said for n, shown in NAMES.items() if (said := node.word(f"Checksum{shown}"))}
        found.append(_Chosen(int(number), etag, sums))
    if not found:
        raise S3Error("MalformedXML", "A CompleteMultipartUpload has parts.")
    if any(a.number > b.number for a, b in pairwise(found)):
        raise S3Error("InvalidPartOrder")
    # A part that was sent twice may be named twice: it is what was sent last.
    return list({part.number: part for part in found}.values())


def _check_part(part: _Chosen, known: PartInfo | None) -> None:
    wrong = known is None or known.etag != part.etag
    if known is not None:
        wrong = wrong or any(known.checksums.get(n, s) != s for n, s in part.checksums.items())
    if wrong:
        raise S3Error(
            "InvalidPart", fields={"PartNumber": str(part.number), "ETag": part.etag[:80]}
        )


def _check_summed(upload: Upload, chosen: list[_Chosen]) -> None:
    """As Amazon does, want the checksum of each part where that of the whole is made of them.

    Raises InvalidRequest.
    """
    name = upload.checksum_algorithm
    for part in chosen:
        if upload.checksum_type == COMPOSITE and name not in part.checksums:
            raise S3Error(
                "InvalidRequest",
                f"The upload was created using a {name} checksum. The complete request must "
                f"include the checksum for each part. It was missing for part {part.number} in "
                "the request.",
            )


def _all_parts(ask: Ask, upload: Upload) -> Iterator[PartInfo]:
    after = 0
    while True:
        page = ask.objects.parts(upload, after, MAX_PARTS)
        yield from page.parts
        if not page.truncated:
            return
        after = page.next


def _whole(headers: Mapping[str, str], upload: Upload, parts: list[PartInfo]) -> dict[str, str]:
    """The checksum of the whole object, compared with the one said of it. Raises BadDigest."""
    name, kind = upload.checksum_algorithm, upload.checksum_type
    said = {n: headers[f"x-amz-checksum-{n}"] for n in SIZES if f"x-amz-checksum-{n}" in headers}
    if not name:
        # Said at the end only: known when every part brought its own.
        for n in said:
            if n.startswith("crc") and all(n in part.checksums for part in parts):
                name, kind = n, FULL
    if not name:
        return {}
    if kind == FULL:
        made = combined(name, [(part.checksums, part.size) for part in parts])
    else:
        made = composite(name, [part.checksums for part in parts])
    if name in said:
        if kind == FULL:
            digest_of(name, said[name])
        if said[name].partition("-")[0] != made.partition("-")[0]:
            raise S3Error(
                "BadDigest", f"The {NAMES[name]} you specified did not match what we received."
            )
    return {name: made} if made else {}


def abort(ask: Ask) -> None:
    """AbortMultipartUpload."""
    ask.objects.abort(_upload(ask))
    ask.send(204)


OPERATIONS = {
    "AbortMultipartUpload": abort,
    "CompleteMultipartUpload": complete,
    "CreateMultipartUpload": create,
    "ListMultipartUploads": list_uploads,
    "ListParts": list_parts,
    "UploadPart": upload_part,
    "UploadPartCopy": copy_part,
}
