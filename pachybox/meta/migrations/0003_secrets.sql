-- Secrets: values only as ciphertext, bound to the name (pachybox/pps/secrets.py).

CREATE TABLE secrets (
    name        VARCHAR PRIMARY KEY,
    type        VARCHAR NOT NULL,
    created_us  BIGINT NOT NULL,
    keys_json   VARCHAR NOT NULL, -- names of the values, sorted
    sealed      BLOB NOT NULL
);

-- How far the egress of a job has come; gone when the job is over.

CREATE TABLE egresses (
    id          VARCHAR NOT NULL,
    project     VARCHAR NOT NULL,
    pipeline    VARCHAR NOT NULL,
    pushed      VARCHAR NOT NULL, -- every file up to this path is at the target
    files       BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    failures    BIGINT NOT NULL, -- attempts that failed since the last progress
    PRIMARY KEY (id, project, pipeline)
);
