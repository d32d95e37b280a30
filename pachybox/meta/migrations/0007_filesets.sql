-- Trees that live for a while without a commit, and values that clients keep with them.

CREATE TABLE filesets (
    id           VARCHAR PRIMARY KEY,
    root         BLOB NOT NULL,
    deletes_json VARCHAR NOT NULL, -- paths that go from what the fileset is laid on, first
    created_us   BIGINT NOT NULL,
    expires_us   BIGINT NOT NULL
);

CREATE TABLE cache (
    key           VARCHAR PRIMARY KEY,
    tag           VARCHAR NOT NULL,
    type_url      VARCHAR NOT NULL,
    value         BLOB NOT NULL,
    filesets_json VARCHAR NOT NULL, -- ids that stay as long as the value does
    created_us    BIGINT NOT NULL
);
