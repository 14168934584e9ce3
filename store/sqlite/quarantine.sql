-- What waits in quarantine is found by its key and the version it
-- waits for.

ALTER TABLE quarantine ADD COLUMN predecessor INTEGER NOT NULL DEFAULT -1; -- version that must be applied first

UPDATE quarantine SET predecessor = version - 1;

DROP INDEX quarantineEarly;

CREATE INDEX quarantineWaiting ON quarantine (queueGroup, key, predecessor) WHERE reason IN ('too_early', 'failing');
