-- Events that have failed, locked again or not: there are few, and an event
-- that never failed does not touch the index.
CREATE INDEX eventsFailed ON events (keyHash, version) WHERE attempts > 0;
