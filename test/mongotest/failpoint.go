package mongotest

import (
	"context"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Fail makes the server answer the next so many of the named commands of
// clients with this AppName with an error; times -1 means all until the end of
// the test. One such failure can be set at a time, so tests that use it may
// not run side by side. See the drivers' specification of failCommand; the
// server must have been started with test commands on.
func (s *Set) Fail(t testing.TB, appName string, code, times int, commands ...string) {
	t.Helper()
	data := bson.D{
		{Key: "failCommands", Value: commands}, {Key: "appName", Value: appName}, {Key: "errorCode", Value: code},
	}
	s.failPoint(t, times, data)
}

// Drop makes the server close the connection instead of answering, after it
// has not run the command. Otherwise it is like Fail.
func (s *Set) Drop(t testing.TB, appName string, times int, commands ...string) {
	t.Helper()
	data := bson.D{
		{Key: "failCommands", Value: commands}, {Key: "appName", Value: appName}, {Key: "closeConnection", Value: true},
	}
	s.failPoint(t, times, data)
}

// Doubt makes the server run the commands and then say that it cannot tell
// whether what they wrote will last. Otherwise it is like Fail.
func (s *Set) Doubt(t testing.TB, appName string, code, times int, commands ...string) {
	t.Helper()
	data := bson.D{
		{Key: "failCommands", Value: commands}, {Key: "appName", Value: appName},
		{Key: "writeConcernError", Value: bson.D{{Key: "code", Value: code}, {Key: "errmsg", Value: "in doubt"}}},
	}
	s.failPoint(t, times, data)
}

func (s *Set) failPoint(t testing.TB, times int, data bson.D) {
	t.Helper()
	mode := any("alwaysOn")
	if times >= 0 {
		mode = bson.D{{Key: "times", Value: times}}
	}
	s.configure(t.Context(), t, bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: mode}, {Key: "data", Value: data}})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		s.configure(ctx, t, bson.D{{Key: "configureFailPoint", Value: "failCommand"}, {Key: "mode", Value: "off"}})
	})
}

func (s *Set) configure(ctx context.Context, t testing.TB, command bson.D) {
	t.Helper()
	if err := s.client.Database("admin").RunCommand(ctx, command).Err(); err != nil {
		t.Errorf("fail point: %v", err)
	}
}
