-- From which version of its ticket on the lock of an order may show, and no
-- index for those that look for locks by order: they look by ticket.
ALTER TABLE orders ADD COLUMN lockFrom INTEGER NOT NULL DEFAULT 0;

DROP INDEX replicaHeld;
