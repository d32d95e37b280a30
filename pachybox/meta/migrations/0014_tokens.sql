-- Tokens of callers: of each a hash, what it may do, and how long (pachybox/api/access/tokens.py).

CREATE TABLE tokens (
    name        VARCHAR PRIMARY KEY,
    hash        BLOB NOT NULL, -- SHA-256 of the token, which has 256 random bits
    role        VARCHAR NOT NULL,
    repos_json  VARCHAR NOT NULL, -- [[project, name], ...]; null: the whole box
    created_us  BIGINT NOT NULL,
    expires_us  BIGINT, -- NULL: never
    revoked_us  BIGINT, -- NULL: it holds
    used_us     BIGINT, -- about when it was shown last
    sealed      BLOB NOT NULL -- the token itself, encrypted, where S3 needs it; else empty
);
