-- Datums without indexes, which DuckDB holds in memory: 220 bytes a row. The rows of a job are found
-- by ``seq``, that of its output commit, which rises about as rows come; that keys are unique is
-- the writer's care. Datums are found by their hash in an index beside the database
-- (pachybox/meta/hashes.py), for which ``datum_hashes`` has what it may lack: the first 60 bits of
-- a hash and ``seq``. ``hashes_moved`` counts how often it was brought up to date; -1: never.

CREATE TABLE datums_made (
    seq          BIGINT DEFAULT 0, -- 0: the commit was gone when this column came
    project      VARCHAR NOT NULL,
    pipeline     VARCHAR NOT NULL,
    job          VARCHAR NOT NULL,
    id           VARCHAR NOT NULL,
    hash         VARCHAR NOT NULL,
    state        VARCHAR NOT NULL,
    reason       VARCHAR NOT NULL,
    dir          BLOB NOT NULL,
    finished_us  BIGINT NOT NULL,
    stats_json   VARCHAR NOT NULL,
    inputs       VARCHAR DEFAULT '',
    input_count  BIGINT DEFAULT 0,
    started_us   BIGINT,
    worker       BIGINT DEFAULT 0,
    tries        BIGINT DEFAULT 0,
    download_us  BIGINT DEFAULT 0,
    process_us   BIGINT DEFAULT 0,
    upload_us    BIGINT DEFAULT 0
);
INSERT INTO datums_made
    SELECT coalesce(c.seq, 0), d.* FROM datums d LEFT JOIN commits c
    ON c.id = d.job AND c.project = d.project AND c.repo = d.pipeline AND c.type = 'user'
    ORDER BY 1, d.finished_us;
DROP TABLE datums;
ALTER TABLE datums_made RENAME TO datums;

CREATE TABLE datum_hashes (hash BIGINT NOT NULL, seq BIGINT NOT NULL);
CREATE TABLE hashes_moved (number BIGINT NOT NULL);
INSERT INTO hashes_moved VALUES (-1);
