package mongodb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// oldestWire is the wire version of MongoDB 6.0, the oldest that is supported.
const oldestWire = 17

// ErrSetUp: the server, the user or the database is not as this package needs
// it. The text says what to do; trying again does not help.
var ErrSetUp = errors.New("MongoDB is not set up")

// refused returns an ErrSetUp that reads as the sentence alone.
func refused(format string, args ...any) error { return &setUpError{fmt.Errorf(format, args...)} }

type setUpError struct{ error }

func (e *setUpError) Is(target error) bool { return target == ErrSetUp }
func (e *setUpError) Unwrap() error        { return errors.Unwrap(e.error) }

// ErrURI: the URI itself is wrong, whatever it leads to. It is an ErrSetUp.
var ErrURI = errors.New("the URI is wrong")

// wrongURI returns an ErrURI that reads as the sentence alone.
func wrongURI(format string, args ...any) error { return &uriError{fmt.Errorf(format, args...)} }

type uriError struct{ error }

func (e *uriError) Is(target error) bool { return target == ErrURI || target == ErrSetUp }
func (e *uriError) Unwrap() error        { return errors.Unwrap(e.error) }

// databaseName returns the database of the service.
func databaseName(uri, override string) (string, error) {
	name := override
	if name == "" {
		_, rest, _ := strings.Cut(uri, "://")
		path, _, _ := strings.Cut(rest, "?")
		_, name, _ = strings.Cut(path, "/")
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
	}
	switch {
	case name == "":
		return "", wrongURI("the URI names no database: add it to the path, as in mongodb://host:27017/tickets?replicaSet=rs0")
	case name == "admin" || name == "local" || name == "config":
		return "", wrongURI("database %q belongs to the server: name one of the service's own", name)
	case len(name) > 63 || strings.ContainsAny(name, "/\\. \"$*<>:|?\x00"):
		return "", wrongURI("%q is no legal database name: use letters, digits, - and _, at most 63", name)
	}
	return name, nil
}

// hello is what a server says of itself.
type hello struct {
	SetName   string   `bson:"setName"`
	Message   string   `bson:"msg"` // "isdbgrid": a router of a sharded cluster
	Waiting   bool     `bson:"isreplicaset"`
	Hosts     []string `bson:"hosts"`
	Primary   string   `bson:"primary"`
	IsPrimary bool     `bson:"isWritablePrimary"`
	MaxWire   int      `bson:"maxWireVersion"`
}

// unfit returns why the server cannot be used at all.
func (h hello) unfit(host string) error {
	switch {
	case h.MaxWire > 0 && h.MaxWire < oldestWire:
		return refused("MongoDB at %s is older than 6.0: upgrade it", host)
	case h.Waiting:
		return refused("MongoDB at %s waits to become a replica set: run rs.initiate() on it once", host)
	case h.SetName == "" && h.Message != "isdbgrid":
		return refused("MongoDB at %s is a standalone server, and transactions and change streams need a replica set:"+
			" start it with --replSet rs0 and run rs.initiate() once; one member is enough", host)
	}
	return nil
}

// checkServer finds out whether the server can be used.
func (db *DB) checkServer(ctx context.Context, o *options.ClientOptions) error {
	search, cancel := half(ctx)
	defer cancel()
	var h hello
	err := db.commands.Database("admin").RunCommand(search, bson.D{{Key: "hello", Value: 1}}).Decode(&h)
	hosts := strings.Join(o.Hosts, ",")
	if err != nil {
		return diagnose(ctx, o, err)
	}
	return h.unfit(hosts)
}

// half leaves half of the time to whoever has to say why the search for a primary
// has failed, if it is bounded at all.
func half(ctx context.Context) (context.Context, context.CancelFunc) {
	end, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/2)
}

// diagnose asks each host by itself why no primary was found.
func diagnose(ctx context.Context, o *options.ClientOptions, failed error) error {
	said, errs := make([]hello, len(o.Hosts)), make([]error, len(o.Hosts))
	var asked sync.WaitGroup
	for i, host := range o.Hosts {
		asked.Go(func() { said[i], errs[i] = ask(ctx, o, host) })
	}
	asked.Wait()
	var silent []string
	for i, host := range o.Hosts {
		h := said[i]
		switch {
		case errs[i] != nil:
			silent = append(silent, host)
			continue
		case h.unfit(host) != nil:
			return h.unfit(host)
		case o.ReplicaSet != nil && h.SetName != *o.ReplicaSet:
			return refused("MongoDB at %s belongs to replica set %q, not %q: correct replicaSet in the URI", host, h.SetName, *o.ReplicaSet)
		case h.IsPrimary:
			return refused("MongoDB at %s answers but refuses the connection: check user, password, authSource and certificates: %w", host, failed)
		case h.Primary == "":
			return fmt.Errorf("replica set %s at %s has no primary now: see rs.status(): %w", h.SetName, host, failed)
		}
		return fmt.Errorf("replica set %s at %s names its members %s, and the primary %s cannot be reached from here under that name: %w",
			h.SetName, host, strings.Join(h.Hosts, ", "), h.Primary, failed)
	}
	return fmt.Errorf("no MongoDB answers at %s: check the URI, the server and the network in between: %w", strings.Join(silent, ", "), failed)
}

// ask says hello to one host, whatever set it belongs to, without logging in.
func ask(ctx context.Context, o *options.ClientOptions, host string) (h hello, err error) {
	const patience = 5 * time.Second // a busy server takes its time
	direct := options.Client().SetHosts([]string{host}).SetDirect(true).SetTLSConfig(o.TLSConfig).SetTimeout(patience)
	client, err := mongo.Connect(direct)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	return h, client.Database("admin").RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&h)
}
