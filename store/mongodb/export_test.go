package mongodb

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// The queries whose plans are held to what the server says of them.
var (
	DuePipeline = duePipeline
	Watched     = watched
)

// StalePipeline returns the search for stale heads.
func StalePipeline(before time.Time, limit int) mongo.Pipeline {
	old := bson.D{{Key: "isLocked", Value: true}, {Key: "lockedAt", Value: is("$lt", before)}}
	return headsPipeline(old, mongo.Pipeline{{{Key: "$limit", Value: limit}}})
}

// SetAnswerTimeout sets how long db asks for the answer of a commit.
func SetAnswerTimeout(db *DB, d time.Duration) { db.answer = d }

// OpenMonitored is Open with a monitor of all commands.
var OpenMonitored = open
