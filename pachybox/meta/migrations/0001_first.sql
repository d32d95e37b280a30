-- The first schema. Times are microseconds since 1970 UTC; hashes are 32-byte blobs;
-- *_json columns hold JSON with sorted keys. One row per thing, keyed by its name.

CREATE TABLE projects (
    name          VARCHAR PRIMARY KEY,
    description   VARCHAR NOT NULL,
    created_us    BIGINT NOT NULL,
    metadata_json VARCHAR NOT NULL
);

CREATE TABLE repos (
    project       VARCHAR NOT NULL,
    name          VARCHAR NOT NULL,
    type          VARCHAR NOT NULL,
    description   VARCHAR NOT NULL,
    created_us    BIGINT NOT NULL,
    metadata_json VARCHAR NOT NULL,
    PRIMARY KEY (project, name, type)
);

CREATE TABLE branches (
    project         VARCHAR NOT NULL,
    repo            VARCHAR NOT NULL,
    type            VARCHAR NOT NULL,
    name            VARCHAR NOT NULL,
    head            VARCHAR,
    provenance_json VARCHAR NOT NULL, -- [[project, repo, type, branch], ...] as declared
    trigger_json    VARCHAR NOT NULL, -- "" or an object
    created_us      BIGINT NOT NULL,
    updated_us      BIGINT NOT NULL,
    metadata_json   VARCHAR NOT NULL,
    PRIMARY KEY (project, repo, type, name)
);

CREATE TABLE commits (
    id              VARCHAR NOT NULL, -- global: shared by every commit of one transaction
    project         VARCHAR NOT NULL,
    repo            VARCHAR NOT NULL,
    type            VARCHAR NOT NULL,
    branch          VARCHAR NOT NULL,
    parent          VARCHAR,
    origin          VARCHAR NOT NULL,
    description     VARCHAR NOT NULL,
    seq             BIGINT NOT NULL, -- order of opening, box-wide
    started_us      BIGINT NOT NULL,
    finished_us     BIGINT,
    error           VARCHAR NOT NULL,
    root            BLOB NOT NULL,
    size            BIGINT NOT NULL,
    files           BIGINT NOT NULL,
    provenance_json VARCHAR NOT NULL, -- [[project, repo, type, branch, id], ...] direct
    metadata_json   VARCHAR NOT NULL,
    PRIMARY KEY (id, project, repo, type)
);

CREATE TABLE pipelines (
    project      VARCHAR NOT NULL,
    name         VARCHAR NOT NULL,
    version      BIGINT NOT NULL,
    spec_json    VARCHAR NOT NULL,
    user_spec    VARCHAR NOT NULL,
    salt         VARCHAR NOT NULL,
    state        VARCHAR NOT NULL,
    reason       VARCHAR NOT NULL,
    stopped      BOOLEAN NOT NULL,
    created_us   BIGINT NOT NULL,
    updated_us   BIGINT NOT NULL,
    spec_commit  VARCHAR NOT NULL,
    PRIMARY KEY (project, name)
);

CREATE TABLE pipeline_versions ( -- every version, the newest too, as it was created
    project      VARCHAR NOT NULL,
    name         VARCHAR NOT NULL,
    version      BIGINT NOT NULL,
    spec_json    VARCHAR NOT NULL,
    user_spec    VARCHAR NOT NULL,
    salt         VARCHAR NOT NULL,
    created_us   BIGINT NOT NULL,
    spec_commit  VARCHAR NOT NULL,
    PRIMARY KEY (project, name, version)
);

CREATE TABLE jobs (
    id           VARCHAR NOT NULL,
    project      VARCHAR NOT NULL,
    pipeline     VARCHAR NOT NULL,
    version      BIGINT NOT NULL,
    state        VARCHAR NOT NULL,
    reason       VARCHAR NOT NULL,
    created_us   BIGINT NOT NULL,
    started_us   BIGINT,
    finished_us  BIGINT,
    total        BIGINT NOT NULL,
    processed    BIGINT NOT NULL,
    skipped      BIGINT NOT NULL,
    failed       BIGINT NOT NULL,
    recovered    BIGINT NOT NULL,
    restarts     BIGINT NOT NULL,
    stats_json   VARCHAR NOT NULL,
    datums       BLOB, -- root of the tree of datums: /<datum id>/meta and /<datum id>/out/...
    PRIMARY KEY (id, project, pipeline)
);

CREATE TABLE datums ( -- what a job ran itself; skipped datums are in its tree of datums only
    project      VARCHAR NOT NULL,
    pipeline     VARCHAR NOT NULL,
    job          VARCHAR NOT NULL,
    id           VARCHAR NOT NULL,
    hash         VARCHAR NOT NULL, -- the skip key
    state        VARCHAR NOT NULL,
    reason       VARCHAR NOT NULL,
    dir          BLOB NOT NULL, -- the datum's directory in the tree of datums
    finished_us  BIGINT NOT NULL,
    stats_json   VARCHAR NOT NULL,
    PRIMARY KEY (project, pipeline, job, id)
);
CREATE INDEX datums_hash ON datums (hash);

CREATE TABLE transactions (
    id            VARCHAR PRIMARY KEY,
    started_us    BIGINT NOT NULL,
    requests_json VARCHAR NOT NULL
);

CREATE TABLE events (
    seq       BIGINT PRIMARY KEY,
    time_us   BIGINT NOT NULL,
    kind      VARCHAR NOT NULL,
    data_json VARCHAR NOT NULL
);

CREATE TABLE facts ( -- single values: box id, default specs
    name  VARCHAR PRIMARY KEY,
    value VARCHAR NOT NULL
);
