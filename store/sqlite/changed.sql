-- What another program changes in an entry is in the totals, too.

CREATE TRIGGER quarantineChanged AFTER UPDATE OF queueGroup, payload ON quarantine BEGIN
    UPDATE quarantineTotals SET messages = messages - 1, bytes = bytes - length(OLD.payload)
        WHERE queueGroup = OLD.queueGroup;
    INSERT INTO quarantineTotals VALUES (NEW.queueGroup, 1, length(NEW.payload))
        ON CONFLICT (queueGroup) DO UPDATE SET messages = messages + 1, bytes = bytes + excluded.bytes;
END;
