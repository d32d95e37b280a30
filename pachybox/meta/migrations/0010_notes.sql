-- Objects that S3 put into open commits and that are not in their trees yet. They live in the
-- journal; rows are here only when a box ended, or the trees could not be written, before.

CREATE TABLE notes (
    number     BIGINT PRIMARY KEY,
    project    VARCHAR NOT NULL,
    repo       VARCHAR NOT NULL,
    type       VARCHAR NOT NULL,
    commit_id  VARCHAR NOT NULL,
    key        VARCHAR NOT NULL,
    content    VARCHAR NOT NULL, -- base64
    said       VARCHAR NOT NULL
);
