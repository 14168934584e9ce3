-- How much each group has in quarantine is known without a look at all of it.

CREATE TABLE quarantineTotals (
    queueGroup TEXT    PRIMARY KEY,
    messages   INTEGER NOT NULL,
    bytes      INTEGER NOT NULL -- of their payloads
) WITHOUT ROWID;

INSERT INTO quarantineTotals
    SELECT queueGroup, count(*), sum(length(payload)) FROM quarantine GROUP BY queueGroup;

CREATE TRIGGER quarantineAdded AFTER INSERT ON quarantine BEGIN
    INSERT INTO quarantineTotals VALUES (NEW.queueGroup, 1, length(NEW.payload))
        ON CONFLICT (queueGroup) DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER quarantineRemoved AFTER DELETE ON quarantine BEGIN
    UPDATE quarantineTotals SET messages = messages - 1, bytes = bytes - length(OLD.payload)
        WHERE queueGroup = OLD.queueGroup;
END;
