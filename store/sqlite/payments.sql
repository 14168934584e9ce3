-- What became of each payment, and which orders are complete by which.
ALTER TABLE orders ADD COLUMN paidBy TEXT NOT NULL DEFAULT '';

CREATE TABLE payments (
    id        TEXT    PRIMARY KEY, -- orderId:paymentId
    orderId   TEXT    NOT NULL,
    paymentId TEXT    NOT NULL,
    stripeId  TEXT    NOT NULL,
    ticketId  TEXT    NOT NULL,
    userId    TEXT    NOT NULL,
    price     REAL    NOT NULL,
    reason    TEXT    NOT NULL,    -- why it must be given back; '' if the order is complete by it
    at        INTEGER NOT NULL,
    settledAt INTEGER NOT NULL     -- 0 while it is not given back
) WITHOUT ROWID;

CREATE INDEX refunds ON payments (id) WHERE reason <> '';
CREATE INDEX refundsOpen ON payments (id) WHERE reason <> '' AND settledAt = 0;

-- Tickets that an order holds at their owner.
CREATE INDEX replicaHeld ON replica (orderId) WHERE orderId <> '';
