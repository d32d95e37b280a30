-- Spec defaults as they were set, verbatim; the project '' is the whole box.

CREATE TABLE defaults (
    project     VARCHAR PRIMARY KEY,
    text        VARCHAR NOT NULL,
    created_us  BIGINT NOT NULL
);
