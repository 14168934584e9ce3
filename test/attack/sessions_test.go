package attack

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	hs256 = `{"alg":"HS256","typ":"JWT"}`
	ann   = `{"id":"ann","email":"ann@example.com"}`
	draft = `{"title":"t","price":1}`
)

// refused wants a ticket to be refused to whoever bears one of the cookies.
func refused(cookies ...string) func(*testing.T, *pair) {
	return func(t *testing.T, p *pair) {
		for _, c := range cookies {
			p.wants(t, http.StatusUnauthorized, p.post(c, draft))
		}
	}
}

// accepted wants a ticket to be made for whoever bears one of the cookies.
func accepted(cookies ...string) func(*testing.T, *pair) {
	return func(t *testing.T, p *pair) {
		for _, c := range cookies {
			p.wants(t, http.StatusCreated, p.post(c, draft))
		}
	}
}

// both tries one after the other.
func both(tries ...func(*testing.T, *pair)) func(*testing.T, *pair) {
	return func(t *testing.T, p *pair) {
		for _, try := range tries {
			try(t, p)
		}
	}
}

// claim is ann's payload with one more claim.
func claim(more string) string { return strings.TrimSuffix(ann, "}") + "," + more + "}" }

// at is a claim of a time from now.
func at(name string, d time.Duration) string {
	return fmt.Sprintf(`"%s":%d`, name, time.Now().Add(d).Unix())
}

func sessions() []attack {
	const compatible = "Node's services issue and accept it so"
	rsaKey, public := rsaPair()
	good := token(hs256, ann, key)
	head, signature := good[:strings.LastIndexByte(good, '.')], good[strings.LastIndexByte(good, '.')+1:]
	return []attack{
		{1, "no token", "", refused("")},
		{2, "alg none", "", refused(
			wrapped(raw([]byte(`{"alg":"none"}`))+"."+raw([]byte(ann))+"."), signed(`{"alg":"none"}`, ann, key), signed(`{"alg":"nOnE"}`, ann, ""))},
		{3, "HS256 signed with a public RSA key", "", refused(signed(hs256, ann, public))},
		{4, "RS256, and HMACs of other lengths", "", refused(wrapped(rs256(rsaKey)), signed(`{"alg":"HS384"}`, ann, key), signed(`{"alg":"HS512"}`, ann, key))},
		{5, "expired", "", both(refused(signed(hs256, claim(at("exp", -time.Second)), key)), accepted(signed(hs256, claim(at("exp", time.Hour)), key)))},
		{6, "iat in the future (nbf is refused)", "Node's jsonwebtoken does not look at iat", both(
			refused(signed(hs256, claim(at("nbf", time.Hour)), key)), accepted(signed(hs256, claim(at("iat", time.Hour)), key)))},
		{7, "no exp", compatible + "; lockstep_sessions_total counts them", func(t *testing.T, p *pair) {
			accepted(session("ann"))(t, p)
			if p.metric(t, "lockstep_sessions_total", `outcome="ok_without_expiry"`) == "" {
				t.Error("sessions for ever are not counted")
			}
		}},
		{8, "another aud or iss", "Node's services have neither", accepted(signed(hs256, claim(`"aud":"x","iss":"y"`), key))},
		{9, "kid unknown, a path, or 1 MB", "", both(
			refused(signed(`{"alg":"HS256","kid":"unknown"}`, ann, "another key"), signed(`{"alg":"HS256","kid":"../../etc/passwd"}`, ann, "")),
			func(t *testing.T, p *pair) {
				if a := p.send(t, p.post(signed(`{"alg":"HS256","kid":"`+strings.Repeat("k", 1<<20)+`"}`, ann, key), draft)); a.status != http.StatusRequestHeaderFieldsTooLarge && a.status != 0 {
					t.Errorf("a kid of 1 MB: %d %s", a.status, a.body)
				}
			})},
		{10, "a key that the token brings along (jku, x5u, jwk)", "", refused(
			signed(`{"alg":"HS256","jku":"http://127.0.0.1:1/"}`, ann, "mine"), signed(`{"alg":"HS256","x5u":"file:///etc/passwd"}`, ann, "mine"),
			signed(`{"alg":"HS256","jwk":{"kty":"oct","k":"bWluZQ"}}`, ann, "mine"))},
		{11, "signature stripped, cut, padded or written otherwise", "", refused(
			wrapped(head), wrapped(head+"."), wrapped(head+"."+signature[:20]), wrapped(head+"."+signature+"="), wrapped(head+"."+signature+`\n`), wrapped(good+".x"))},
		{12, "10,000 dots, and 100,000", "", func(t *testing.T, p *pair) {
			if a := p.wants(t, http.StatusUnauthorized, p.post("session="+strings.Repeat(".", 10_000), draft)); a.took > 5*time.Second {
				t.Errorf("it took %v", a.took)
			}
			refused(wrapped(strings.Repeat(".", 10_000)))(t, p)
			p.wants(t, http.StatusRequestHeaderFieldsTooLarge, p.post("session="+strings.Repeat(".", 100_000), draft))
		}},
		{13, "a key that was rotated out", "", refused(signed(hs256, ann, "the key of the attacked pair, old"))},
		{14, "two tokens", "as in Node: an Authorization header is no session, and of two cookies the first counts", func(t *testing.T, p *pair) {
			p.wants(t, http.StatusUnauthorized, p.post("", draft, "Authorization", "Bearer "+good))
			made := p.wants(t, http.StatusCreated, p.post(session("ann")+"; "+session("bob"), draft, "Authorization", "Bearer "+token(hs256, `{"id":"eve","email":"e"}`, key)))
			if owner := decode(t, made).UserID; owner != "ann" {
				t.Errorf("the ticket is %s's", owner)
			}
		}},
		{15, "token in the query", "", func(t *testing.T, p *pair) {
			c := p.post("", draft)
			c.url += "?token=" + good + "&session=" + strings.TrimPrefix(session("ann"), "session=") + "&jwt=" + good
			p.wants(t, http.StatusUnauthorized, c)
			if strings.Contains(p.service.Output(), good) {
				t.Error("the token is in the log")
			}
		}},
		{16, "a cookie that is no base64, no JSON, no session", "", refused("session=%%%", "session=bm90IGpzb24", "session="+base64.StdEncoding.EncodeToString([]byte(`[]`)),
			"session="+base64.StdEncoding.EncodeToString([]byte(`{"jwt":7}`)), "session="+base64.StdEncoding.EncodeToString([]byte(`{"jwt":{"$ne":1}}`)), "session=")},
		{17, "id missing, no string, empty, an object", "", refused(signed(hs256, `{"email":"a"}`, key), signed(hs256, `{"id":7,"email":"a"}`, key), signed(hs256, `{"id":"","email":"a"}`, key),
			signed(hs256, `{"id":" ","email":"a"}`, key), signed(hs256, `{"id":{"$ne":1},"email":"a"}`, key), signed(hs256, `{"id":null,"email":"a"}`, key), signed(hs256, `{"ID":"ann","email":"a"}`, key))},
	}
}

// rsaPair returns a key and its public half as an attacker would find it.
func rsaPair() (*rsa.PrivateKey, string) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		panic(err)
	}
	return k, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func rs256(k *rsa.PrivateKey) string {
	text := raw([]byte(`{"alg":"RS256"}`)) + "." + raw([]byte(ann))
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + raw(signature)
}
