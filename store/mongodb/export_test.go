package mongodb

import (
	"time"
)

// The queries whose plans are held to what the server says of them.
var (
	DuePipeline     = duePipeline
	BlockedPipeline = blockedPipeline
	StalePipeline   = stalePipeline
	HiddenPipeline  = hiddenPipeline
)

// SetAnswerTimeout sets how long db asks for the answer of a commit.
func SetAnswerTimeout(db *DB, d time.Duration) { db.answer = d }

// OpenMonitored is Open with a monitor of all commands.
var OpenMonitored = open

// ReplicaOf returns the collection that was chosen for the replica.
func ReplicaOf(db *DB) string { return db.opts.Replica }

// Restore looks for collections and indexes that were dropped.
var Restore = (*DB).restore
