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
		errs = append(errs, errors.New("NATS_CREDS_FILE and NATS_NKEY_FILE are both set: unset one of them"))
	}
	if (s.Cert == "") != (s.Key == "") {
		errs = append(errs, errors.New("NATS_CERT_FILE and NATS_KEY_FILE must both be set, or neither"))
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
		opts = append(opts, of("NATS_CA_FILE", nats.RootCAs(s.CA)))
	}
	if s.Cert != "" && s.Key != "" {
		opts = append(opts, of("NATS_CERT_FILE and NATS_KEY_FILE", nats.ClientCert(s.Cert, s.Key)))
	}
	if s.Creds != "" {
		if wrong := credentialsIn(s.Creds); wrong != nil {
			err = errors.Join(err, fmt.Errorf("NATS_CREDS_FILE: %w", wrong))
		} else {
			opts = append(opts, nats.UserCredentials(s.Creds))
		}
	}
	if s.NKey != "" {
		nkey, unread := nats.NkeyOptionFromSeed(s.NKey)
		if unread != nil {
			return opts, errors.Join(err, fmt.Errorf("NATS_NKEY_FILE: %s: %w", s.NKey, unread))
		}
		opts = append(opts, nkey)
	}
	return opts, err
}

// of lets an option that fails say which setting it is of.
func of(setting string, opt nats.Option) nats.Option {
	return func(o *nats.Options) error {
		if err := opt(o); err != nil {
			return fmt.Errorf("%s: %w", setting, err)
		}
		return nil
	}
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
