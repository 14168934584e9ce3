package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"lockstep/api"
)

// tokenCmd prints a session cookie.
type tokenCmd struct {
	jwtFlags
	User string `required:"" form:"text" help:"E-mail address of the user."`
	ID   string `name:"id" form:"text" help:"Id of the user; unset: derived from the address, so that one address is one user."`
}

// Run prints name=value, ready for a Cookie header.
func (c *tokenCmd) Run(s streams) error {
	keys, err := c.keys()
	if err != nil {
		return err
	}
	sessions, err := api.NewSessions(keys, nil, nil)
	if err != nil {
		return err
	}
	id := c.ID
	if id == "" {
		id = userID(c.User)
	}
	cookie, err := sessions.Cookie(api.User{ID: id, Email: c.User})
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, cookie)
	return nil
}

// userID derives an id in the form of an ObjectId from an e-mail address.
func userID(email string) string {
	sum := sha256.Sum256([]byte(email))
	return hex.EncodeToString(sum[:12])
}
