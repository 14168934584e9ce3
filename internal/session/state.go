package session

// State is what a readiness check tells of the session.
type State struct {
	Connected  bool
	Generation uint64 // of the connection in use; 0 if there is none
	ClientID   string // as the broker knows it
	Err        error  // why it is not connected
}

// State returns how the session is at the moment.
func (s *Session) State() State {
	st := State{ClientID: s.name()}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		st.Err = ErrClosed
	case s.current == nil:
		st.Err = s.why
	case !s.current.Connected():
		st.Generation, st.Err = s.current.generation, ErrInterrupted
	default:
		st.Generation, st.Connected = s.current.generation, true
	}
	return st
}

func (s *Session) snapshot() (c *Conn, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.ended
}

func (s *Session) set(c *Conn, why error) {
	s.mu.Lock()
	s.current, s.why = c, why
	s.mu.Unlock()
	s.turned()
}

func (s *Session) end() {
	s.mu.Lock()
	s.current, s.ended = nil, true
	s.mu.Unlock()
	s.turned()
}

// turned tells everybody that a connection came, went, broke or was healed.
func (s *Session) turned() {
	s.metrics.live(s.Connected())
	s.changed.fire()
}
