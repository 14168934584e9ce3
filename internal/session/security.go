package session

import (
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Security are the files by which client and broker know each other; all may be
// empty. They are read for every connection, so that what is in them can be
// replaced while the process runs.
type Security struct {
	CA    string // PEM; the broker's certificate must be signed by one of these
	Cert  string // PEM; the client's own certificate
	Key   string // PEM; its key
	Creds string // a user's JWT and seed, as nsc writes them
	NKey  string // the seed of a user's nkey
}

// validate looks into every file, and lists what is wrong.
func (s Security) validate() error {
	var errs []error
	if s.Creds != "" && s.NKey != "" {
		errs = append(errs, errors.New("the broker session takes credentials or an nkey, not both"))
	}
	if (s.Cert == "") != (s.Key == "") {
		errs = append(errs, errors.New("the broker session needs both the client's certificate and its key, or neither"))
	}
	opts, err := s.options()
	var tried nats.Options
	for _, opt := range opts {
		err = errors.Join(err, opt(&tried))
	}
	return errors.Join(append(errs, err)...)
}

// options returns what the client library is told. What an option reads, it
// reads when it is applied, and again when a link is healed.
func (s Security) options() (opts []nats.Option, err error) {
	if s.CA != "" {
		opts = append(opts, nats.RootCAs(s.CA))
	}
	if s.Cert != "" && s.Key != "" {
		opts = append(opts, nats.ClientCert(s.Cert, s.Key))
	}
	if s.Creds != "" {
		if wrong := credentialsIn(s.Creds); wrong != nil {
			err = errors.Join(err, fmt.Errorf("credentials of the broker: %w", wrong))
		}
		opts = append(opts, nats.UserCredentials(s.Creds))
	}
	if s.NKey != "" {
		nkey, unread := nats.NkeyOptionFromSeed(s.NKey)
		if unread != nil {
			return opts, errors.Join(err, fmt.Errorf("nkey of the broker, %s: %w", s.NKey, unread))
		}
		opts = append(opts, nkey)
	}
	return opts, err
}

// credentialsIn returns why a file holds no user's credentials; nil if it does.
func credentialsIn(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	seed, err := nkeys.ParseDecoratedUserNKey(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	seed.Wipe()
	return nil
}
