-- Marks of the last release had the highest sequence that was seen.
ALTER TABLE marks ADD COLUMN beyond   TEXT    NOT NULL DEFAULT ''; -- what else was seen, as "5-7,9"
ALTER TABLE marks ADD COLUMN last     INTEGER NOT NULL DEFAULT 0;  -- highest sequence that was seen; sentAt is its time
ALTER TABLE marks ADD COLUMN base     INTEGER NOT NULL DEFAULT 0;  -- the channel's last sequence when the mark was made
ALTER TABLE marks ADD COLUMN lost     INTEGER NOT NULL DEFAULT 0;  -- messages that were found to be lost
ALTER TABLE marks ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
UPDATE marks SET last = sequence;
