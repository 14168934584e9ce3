package session_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	natsd "github.com/nats-io/nats-server/v2/server"
	stand "github.com/nats-io/nats-streaming-server/server"
	"github.com/nats-io/nkeys"

	"lockstep/internal/session"
	"lockstep/test/brokertest"
)

// The broker's own way in, on a server that asks for one.
const theirUser, theirPassword = "streaming", "of the broker"

// secured starts a core server under the options and a streaming server on top,
// which gets in as its options say. It returns where it listens.
func secured(t *testing.T, core *natsd.Options, top func(*stand.Options)) string {
	t.Helper()
	core.Host, core.Port, core.NoLog, core.NoSigs = "127.0.0.1", natsd.RANDOM_PORT, true, true
	server, err := natsd.NewServer(core)
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(func() { server.Shutdown(); server.WaitForShutdown() })
	if !server.ReadyForConnections(patience) {
		t.Fatal("the core server does not listen")
	}
	so := stand.GetDefaultOptions()
	so.ID, so.NATSServerURL = brokertest.ClusterID, "nats://"+server.Addr().String()
	top(so)
	streaming, err := stand.RunServerWithOpts(so, &natsd.Options{NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(streaming.Shutdown)
	return so.NATSServerURL
}

// getsIn wants a session that confirms what is published.
func getsIn(t *testing.T, url string, s session.Security) {
	t.Helper()
	r := start(t, session.Options{URL: url, Security: s})
	if err := publish(t, live(t, r.Session), "x"); err != nil {
		t.Error(err)
	}
	r.stop(t)
}

// staysOut wants a session that is told why it cannot connect.
func staysOut(t *testing.T, url string, s session.Security, why string) {
	t.Helper()
	r := start(t, session.Options{URL: url, Security: s})
	until(t, "the session says "+why, func() bool { err := r.State().Err; return err != nil && strings.Contains(err.Error(), why) })
	r.stop(t)
}

// Case 11.9.
func TestTheBrokerIsKnownByItsCertificate(t *testing.T) {
	files := certify(t)
	url := secured(t, &natsd.Options{TLS: true, TLSConfig: files.server(t, false)}, func(o *stand.Options) { o.ClientCA = files.ca })
	getsIn(t, url, session.Security{CA: files.ca})
	getsIn(t, strings.Replace(url, "nats://", "https://", 1), session.Security{CA: files.ca})
	staysOut(t, url, session.Security{}, "certificate signed by unknown authority")
	staysOut(t, url, session.Security{CA: certify(t).ca}, "certificate signed by unknown authority")
}

func TestTheClientIsKnownByItsCertificate(t *testing.T) {
	files := certify(t)
	url := secured(t, &natsd.Options{TLS: true, TLSVerify: true, TLSConfig: files.server(t, true)}, func(o *stand.Options) {
		o.ClientCA, o.ClientCert, o.ClientKey = files.ca, files.cert, files.key
	})
	getsIn(t, url, session.Security{CA: files.ca, Cert: files.cert, Key: files.key})
	staysOut(t, url, session.Security{CA: files.ca}, "certificate required")
}

func TestTheClientIsKnownByItsNKey(t *testing.T) {
	seed, public := nkey(t)
	stranger, _ := nkey(t)
	url := secured(t, &natsd.Options{
		Nkeys: []*natsd.NkeyUser{{Nkey: public}}, Users: []*natsd.User{{Username: theirUser, Password: theirPassword}},
	}, func(o *stand.Options) { o.Username, o.Password = theirUser, theirPassword })
	getsIn(t, url, session.Security{NKey: seed})
	getsIn(t, strings.Replace(url, "://", "://"+theirUser+":"+strings.ReplaceAll(theirPassword, " ", "%20")+"@", 1), session.Security{})
	staysOut(t, url, session.Security{NKey: stranger}, "Authorization Violation")
	staysOut(t, url, session.Security{}, "Authorization Violation")
}

func TestTheClientIsKnownByItsCredentials(t *testing.T) {
	operator, account := pair(t, nkeys.PrefixByteOperator), pair(t, nkeys.PrefixByteAccount)
	accountJWT := encode(t, jwt.NewAccountClaims(publicOf(t, account)), operator)
	resolver := &natsd.MemAccResolver{}
	if err := resolver.Store(publicOf(t, account), accountJWT); err != nil {
		t.Fatal(err)
	}
	trusted, err := jwt.DecodeOperatorClaims(encode(t, jwt.NewOperatorClaims(publicOf(t, operator)), operator))
	if err != nil {
		t.Fatal(err)
	}
	creds := func(signer nkeys.KeyPair) string {
		user := pair(t, nkeys.PrefixByteUser)
		claims := jwt.NewUserClaims(publicOf(t, user))
		claims.Limits.Subs = jwt.NoLimit
		seed, err := user.Seed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := jwt.FormatUserConfig(encode(t, claims, signer), seed)
		if err != nil {
			t.Fatal(err)
		}
		return file(t, "user.creds", data)
	}
	url := secured(t, &natsd.Options{TrustedOperators: []*jwt.OperatorClaims{trusted}, AccountResolver: resolver},
		func(o *stand.Options) { o.NATSCredentials = creds(account) })
	getsIn(t, url, session.Security{Creds: creds(account)})
	staysOut(t, url, session.Security{Creds: creds(pair(t, nkeys.PrefixByteAccount))}, "Authorization Violation")
	staysOut(t, url, session.Security{}, "Authorization Violation")
}

// TestAFileIsReplacedWhileASessionLooksForItsBroker: it says what is wrong with
// it as long as it is half written, and goes on by itself. Case 11.9.
func TestAFileIsReplacedWhileASessionLooksForItsBroker(t *testing.T) {
	t.Parallel()
	seed, public := nkey(t)
	url := secured(t, &natsd.Options{
		Nkeys: []*natsd.NkeyUser{{Nkey: public}}, Users: []*natsd.User{{Username: theirUser, Password: theirPassword}},
	}, func(o *stand.Options) { o.Username, o.Password = theirUser, theirPassword })
	used, _ := nkey(t)
	r := start(t, session.Options{URL: url, Security: session.Security{NKey: used}})
	says := func(why string) {
		t.Helper()
		until(t, "the session says "+why, func() bool { err := r.State().Err; return err != nil && strings.Contains(err.Error(), why) })
	}
	says("Authorization Violation")
	for _, content := range []string{"", "SU"} {
		if err := os.WriteFile(used, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		says("NATS_NKEY_FILE: " + used)
	}
	right, err := os.ReadFile(seed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(used, right, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := publish(t, live(t, r.Session), "x"); err != nil {
		t.Error(err)
	}
	r.stop(t)
}

func TestFilesThatAreWrongAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	files, absent, nothing, empty := certify(t), filepath.Join(t.TempDir(), "absent"), file(t, "nothing", []byte("nothing")), file(t, "empty", nil)
	for name, tt := range map[string]struct {
		security session.Security
		want     []string
	}{
		"not there":         {session.Security{CA: absent, Cert: absent, Key: absent, Creds: absent}, []string{"NATS_CA_FILE: ", "NATS_CERT_FILE and NATS_KEY_FILE: ", "NATS_CREDS_FILE: ", absent}},
		"an nkey not there": {session.Security{NKey: absent}, []string{"NATS_NKEY_FILE: ", absent}},
		"no certificates":   {session.Security{CA: nothing}, []string{"NATS_CA_FILE: ", nothing}},
		"no credentials":    {session.Security{Creds: nothing}, []string{"NATS_CREDS_FILE: ", nothing}},
		"all empty":         {session.Security{CA: empty, Cert: empty, Key: empty, Creds: empty}, []string{"root certificate", "client certificate", "NATS_CREDS_FILE: ", empty}},
		"an empty nkey":     {session.Security{NKey: empty}, []string{"NATS_NKEY_FILE: ", empty}},
		"a directory":       {session.Security{Creds: filepath.Dir(nothing)}, []string{"NATS_CREDS_FILE: ", filepath.Dir(nothing)}},
		"no seed":           {session.Security{NKey: nothing}, []string{"NATS_NKEY_FILE: ", nothing}},
		"half of a pair":    {session.Security{Cert: files.cert}, []string{"NATS_CERT_FILE and NATS_KEY_FILE must both be set"}},
		"two identities":    {session.Security{Creds: nothing, NKey: nothing}, []string{"NATS_CREDS_FILE and NATS_NKEY_FILE are both set"}},
	} {
		_, err := session.New(session.Options{URL: "nats://x:1", ClusterID: "c", ClientID: "i", Security: tt.security})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q in it", name, err, part)
			}
		}
	}
}

func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pair(t *testing.T, kind nkeys.PrefixByte) nkeys.KeyPair {
	t.Helper()
	made, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func publicOf(t *testing.T, k nkeys.KeyPair) string {
	t.Helper()
	public, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func encode(t *testing.T, claims jwt.Claims, signer nkeys.KeyPair) string {
	t.Helper()
	token, err := claims.Encode(signer)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// nkey returns the file of a user's seed and the user's public key.
func nkey(t *testing.T) (seedFile, public string) {
	t.Helper()
	user := pair(t, nkeys.PrefixByteUser)
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "user.nk", seed), publicOf(t, user)
}

// certified are files with certificates for one machine's server and client.
type certified struct{ ca, cert, key string }

// certify makes an authority and a certificate of its own.
func certify(t *testing.T) certified {
	t.Helper()
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	caKey, ownKey, ca, own := key(), key(), template("authority"), template("machine")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	own.IPAddresses, own.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	sign := func(made *x509.Certificate, k *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, made, ca, k.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	der, err := x509.MarshalPKCS8PrivateKey(ownKey)
	if err != nil {
		t.Fatal(err)
	}
	return certified{
		ca: file(t, "ca.pem", sign(ca, caKey)), cert: file(t, "cert.pem", sign(own, ownKey)),
		key: file(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}
}

// server returns how a server proves itself, and whether clients must.
func (c certified) server(t *testing.T, verify bool) *tls.Config {
	t.Helper()
	config, err := natsd.GenTLSConfig(&natsd.TLSConfigOpts{CertFile: c.cert, KeyFile: c.key, CaFile: c.ca, Verify: verify})
	if err != nil {
		t.Fatal(err)
	}
	return config
}
