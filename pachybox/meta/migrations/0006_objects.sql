-- How often changes that waited in the journal were brought in (pachybox/meta/journal.py).

CREATE TABLE folded (number BIGINT NOT NULL);
INSERT INTO folded VALUES (0);

-- What S3 says of a commit's objects: the root of a second tree; NULL = nothing.
ALTER TABLE commits ADD COLUMN attributes BLOB;

-- Multipart uploads under way; ``parts`` is the root of the tree of their parts (NULL = none).

CREATE TABLE uploads (
    id               VARCHAR PRIMARY KEY,
    project          VARCHAR NOT NULL,
    repo             VARCHAR NOT NULL,
    branch           VARCHAR NOT NULL,
    commit_id        VARCHAR NOT NULL, -- empty unless the bucket is an open commit
    key              VARCHAR NOT NULL,
    started_us       BIGINT NOT NULL,
    touched_us       BIGINT NOT NULL, -- when the last part came
    attributes_json  VARCHAR NOT NULL,
    algorithm        VARCHAR NOT NULL, -- of the parts' checksums; empty = none was asked for
    checksum_type    VARCHAR NOT NULL,
    parts            BLOB
);
