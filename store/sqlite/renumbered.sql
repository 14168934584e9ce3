-- How often the channel of a mark began anew: sequences of before say nothing then.
ALTER TABLE marks ADD COLUMN renumbered INTEGER NOT NULL DEFAULT 0;
