-- Version 1. Columns that an index leaves out of its WHERE are never null.

CREATE TABLE tickets (
    seq      INTEGER PRIMARY KEY, -- the order of creation
    id       TEXT    NOT NULL UNIQUE,
    title    TEXT    NOT NULL,
    price    REAL    NOT NULL,
    userId   TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    orderId  TEXT    NOT NULL,    -- '' while the ticket is free
    deleted  INTEGER NOT NULL,
    revision INTEGER NOT NULL     -- raised by every write and every guard
);

CREATE TABLE locks (
    orderId  TEXT    PRIMARY KEY,
    ticketId TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    state    TEXT    NOT NULL,    -- held, waiting, released, tombstone
    since    INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX locksWaiting ON locks (ticketId, since, orderId) WHERE state = 'waiting';

CREATE TABLE orders (
    seq       INTEGER PRIMARY KEY, -- the order of creation
    id        TEXT    NOT NULL UNIQUE,
    userId    TEXT    NOT NULL,
    status    TEXT    NOT NULL,
    expiresAt INTEGER NOT NULL,
    ticketId  TEXT    NOT NULL,
    price     REAL    NOT NULL,
    version   INTEGER NOT NULL
);

CREATE INDEX ordersOfUser ON orders (userId, seq);
CREATE INDEX ordersDue ON orders (expiresAt) WHERE status = 'created';

-- At most one active order for a ticket: the statuses of order.Active.
CREATE UNIQUE INDEX ordersActive ON orders (ticketId)
    WHERE status IN ('created', 'awaiting:payment', 'complete');

CREATE TABLE replica (
    id      TEXT    PRIMARY KEY,
    version INTEGER NOT NULL,
    title   TEXT    NOT NULL,
    price   REAL    NOT NULL,
    orderId TEXT    NOT NULL,
    deleted INTEGER NOT NULL
) WITHOUT ROWID;

-- AUTOINCREMENT: a position in the outbox is never used again, also after the
-- outbox was empty. There is one writer, so the order of seq is the order of
-- the commits.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE, -- key:version:subject
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

-- Covers the search for the oldest event of each key with its lock.
CREATE INDEX eventsByKey ON events (key, version, isLocked, lockedAt);
CREATE INDEX eventsDue ON events (notBefore) WHERE isLocked = 0;

CREATE TABLE leases (
    name      TEXT    PRIMARY KEY,
    owner     TEXT    NOT NULL,
    epoch     INTEGER NOT NULL, -- never falls
    expiresAt INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE quarantine (
    id         TEXT    PRIMARY KEY,
    queueGroup TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    sequence   INTEGER NOT NULL,
    key        TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    payload    BLOB    NOT NULL,
    reason     TEXT    NOT NULL,
    detail     TEXT    NOT NULL,
    at         INTEGER NOT NULL
);

CREATE INDEX quarantineEarly ON quarantine (key, version) WHERE reason = 'too_early';

CREATE TABLE marks (
    queueGroup TEXT    NOT NULL,
    channel    TEXT    NOT NULL,
    sequence   INTEGER NOT NULL,
    sentAt     INTEGER NOT NULL, -- nanoseconds, as the broker tells it
    PRIMARY KEY (queueGroup, channel)
) WITHOUT ROWID;
