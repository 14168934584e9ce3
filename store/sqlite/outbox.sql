-- The outbox with one index instead of two, and that of a number. Every event
-- enters and leaves each index at a random place, so their size decides how
-- fast the outbox drains.
DROP INDEX eventsDue;
DROP INDEX eventsByKey;
ALTER TABLE events RENAME TO eventsBefore;

CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    keyHash    INTEGER NOT NULL,        -- CRC-32 of key
    key        TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    subject    TEXT    NOT NULL,
    occurredAt INTEGER NOT NULL,
    isLocked   INTEGER NOT NULL,
    lockedAt   INTEGER NOT NULL,
    notBefore  INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,        -- failures in total
    failures   TEXT    NOT NULL,        -- JSON: the first one and the latest
    payload    BLOB    NOT NULL
);
INSERT INTO events (seq, keyHash, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload)
SELECT seq, 0, key, version, subject, occurredAt, isLocked, lockedAt, notBefore, attempts, failures, payload
FROM eventsBefore ORDER BY seq;
DROP TABLE eventsBefore;

-- The events of a key, oldest first, and through them an event by its id, which
-- is key:version:subject.
CREATE INDEX eventsByKey ON events (keyHash, version);
CREATE INDEX eventsDue ON events (notBefore) WHERE isLocked = 0;
