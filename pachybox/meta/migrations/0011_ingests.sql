-- Sources that bring data in by themselves, and how far each has come.

CREATE TABLE ingests (
    project        VARCHAR NOT NULL,
    name           VARCHAR NOT NULL,
    kind           VARCHAR NOT NULL,
    spec_json      VARCHAR NOT NULL,
    to_project     VARCHAR NOT NULL,
    to_repo        VARCHAR NOT NULL,
    to_branch      VARCHAR NOT NULL,
    version        BIGINT  NOT NULL,
    created_us     BIGINT  NOT NULL,
    updated_us     BIGINT  NOT NULL,
    paused         BOOLEAN NOT NULL,
    batch          BIGINT  NOT NULL,
    offset_json    VARCHAR NOT NULL,
    records        BIGINT  NOT NULL,
    bytes          BIGINT  NOT NULL,
    files          BIGINT  NOT NULL,
    commits        BIGINT  NOT NULL,
    dead           BIGINT  NOT NULL,
    last_commit    VARCHAR,
    last_us        BIGINT,
    PRIMARY KEY (project, name)
);
