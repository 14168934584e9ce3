-- What a person should know of.
CREATE TABLE incidents (
    id       TEXT    PRIMARY KEY, -- sorts by age
    key      TEXT    NOT NULL,    -- the same for every opening
    cause    TEXT    NOT NULL,
    service  TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    summary  TEXT    NOT NULL,
    opened   INTEGER NOT NULL,
    raised   INTEGER NOT NULL,
    closed   INTEGER NOT NULL,    -- 0 while it is open
    ending   TEXT    NOT NULL,
    count    INTEGER NOT NULL,
    told     INTEGER NOT NULL,
    tries    INTEGER NOT NULL,
    notifyAt INTEGER NOT NULL,    -- 0 if no notice is due
    revision INTEGER NOT NULL
) WITHOUT ROWID;

CREATE UNIQUE INDEX incidentsOpen ON incidents (key) WHERE closed = 0;
CREATE INDEX incidentsOfKey ON incidents (key, id);
CREATE INDEX incidentsDue ON incidents (notifyAt) WHERE notifyAt != 0;
CREATE INDEX incidentsClosed ON incidents (closed) WHERE closed != 0;
