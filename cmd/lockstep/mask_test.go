package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestAddressesAreMasked(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"nats://a:4222":       "nats://a:4222",
		"a:4222":              "a:4222",
		"http://[::1]:9464/x": "http://[::1]:9464/x",
		"nats://user:SECRET@a:4222,nats://b:4222":             "nats://user:****@a:4222,nats://b:4222",
		"nats://a:4222,nats://user:SECRET@b:4222":             "nats://a:4222,nats://user:****@b:4222",
		"nats://u:SECRET@a:1, nats://SECRET@b:2":              "nats://u:****@a:1, nats://****@b:2",
		"nats://SECRET@a:4222":                                "nats://****@a:4222",
		"SECRET@a:4222":                                       "****@a:4222",
		"user:SECRET@a:4222":                                  "user:****@a:4222",
		"mongodb://root:SECRET@h1:1,h2:2/db?replicaSet=rs0":   "mongodb://root:****@h1:1,h2:2/db?replicaSet=rs0",
		"mongodb://root:SEC/RET@h1/db":                        "mongodb://root:****@h1/db",
		"mongodb://root:SEC@RET@h1/db":                        "mongodb://root:****@h1/db",
		"mongodb://root:SEC,RET@h1/db":                        "mongodb://root:****@h1/db",
		"mongodb://SECRET:@h1/db":                             "mongodb://SECRET:****@h1/db", // a name, not a password
		"mongodb://root:SEC://RET@h1/db":                      "****",
		"nats://u:SEC,x://RET@h":                              "****",
		"SEC RET":                                             "****",
		"mongodb://h/db?tlsCertificateKeyFilePassword=SECRET": "mongodb://h/db?tlsCertificateKeyFilePassword=****",
		"mongodb://h/db?w=1&authMechanismProperties=AWS_SESSION_TOKEN:SECRET&tls=true": "mongodb://h/db?w=1&authMechanismProperties=****&tls=true",
		"https://hooks.example/x?token=SECRET":                                         "https://hooks.example/x?token=****",
	} {
		if got := maskURL(value); got != want {
			t.Errorf("%s is shown as %s, want %s", value, got, want)
		}
	}
}

// TestSecretsAreNowhere sets secrets of every shape and looks for them in the
// configuration, in errors and in logs. Case 10.14.
func TestSecretsAreNowhere(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	secrets := map[string]string{
		"JWT_KEY":   `key://with:a@scheme "and" <quotes>`,
		"OPS_TOKEN": "tok://en-and@more",
		"NATS_URL":  "nats://name:first-secret@127.0.0.1:1,nats://second-secret@127.0.0.1:2",
		"MONGO_URI": "mongodb://root:third%2Fsecret@127.0.0.1:1/orders?tls=false&tlsCertificateKeyFilePassword=fourth-secret&connectTimeoutMS=soon",
	}
	for name, value := range secrets {
		t.Setenv(name, value)
	}
	hidden := []string{"key://", "quotes", "tok://", "first-secret", "second-secret", "third", "fourth-secret"}
	args := []string{"--nats-cluster-id=c", "--nats-client-id=i", "--ops-addr=127.0.0.1:0", "--tickets-addr=127.0.0.1:0"}
	for _, line := range [][]string{
		append([]string{"config", "tickets"}, args...),
		append([]string{"config", "--json", "tickets"}, args...),
		append([]string{"doctor"}, args[:3]...),
		append([]string{"tickets"}, args...),
	} {
		var out buffer
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // nobody answers
		run(ctx, line, streams{out: &out, err: &out})
		cancel()
		for _, s := range hidden {
			if said := out.String(); said == "" || strings.Contains(said, s) {
				t.Errorf("%s shows %q:\n%s", line[0], s, said)
			}
		}
	}

	var c cli
	parsed, err := parse(&c, append([]string{"tickets"}, args...), streams{})
	if err != nil {
		t.Fatal(err)
	}
	for name, handler := range map[string]func(*redacting) slog.Handler{
		"JSON": func(w *redacting) slog.Handler { return slog.NewJSONHandler(w, nil) },
		"text": func(w *redacting) slog.Handler { return slog.NewTextHandler(w, nil) },
	} {
		var b buffer
		log := slog.New(handler(redact(&b, parsed.Flags())))
		for _, value := range secrets {
			plain, _ := url.PathUnescape(value) // as a driver knows it
			log.Info("connect "+value, "err", fmt.Errorf("dial %q: %s", value, plain))
		}
		for _, s := range hidden {
			if strings.Contains(b.String(), s) {
				t.Errorf("%s log shows %q:\n%s", name, s, b.String())
			}
		}
	}
}

// TestAPasswordWithASlashIsHiddenInEveryPiece: a parser takes half of it for a
// host and the other for a path. Case 10.14.
func TestAPasswordWithASlashIsHiddenInEveryPiece(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	t.Setenv("MONGO_URI", "mongodb://root:pa/ss@h1:27017/orders")
	var c cli
	parsed, err := parse(&c, []string{"orders"}, streams{})
	if err != nil {
		t.Fatal(err)
	}
	var b buffer
	fmt.Fprintln(redact(&b, parsed.Flags()), `no host "root:pa"; "ss@h1:27017/orders" is no legal database name`)
	if got, want := b.String(), `no host "****"; "****h1:27017/orders" is no legal database name`+"\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

// TestAPasswordThatIsANameTakesNoNamesOutOfTheLog: it is hidden in its address,
// and warned of. Case 10.14.
func TestAPasswordThatIsANameTakesNoNamesOutOfTheLog(t *testing.T) {
	for _, name := range cleared {
		t.Setenv(name, "")
	}
	t.Setenv("NATS_URL", "nats://tickets:tickets@h:4222")
	t.Setenv("MONGO_URI", "mongodb://hannah:hannah@h/orders")
	t.Setenv("NATS_CLUSTER_ID", "production")
	t.Setenv("NATS_PASSWORD", "production")
	var c cli
	parsed, err := parse(&c, []string{"up"}, streams{})
	if err != nil {
		t.Fatal(err)
	}
	var b buffer
	const said = "tickets of hannah wait for production"
	fmt.Fprintln(redact(&b, parsed.Flags()), said, "at", c.Up.NATSURL, "and", c.Up.MongoURI)
	if got, want := b.String(), said+" at nats://****@h:4222 and mongodb://****@h/orders\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestTheBannerNamesTheFileOfTheKey(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir())
	if banner := r.out.String(); strings.Contains(banner, r.flags.JWTKey) || !strings.Contains(banner, r.keyFile) {
		t.Errorf("the banner shows the key, or not where it is:\n%s", banner)
	}
	r.end()
}
