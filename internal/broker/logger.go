package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// logger hands the server's log lines to slog. The server's notices are detail
// to us, and where it asks to end the process the reason is kept instead.
type logger struct {
	ctx context.Context
	log *slog.Logger

	mu    sync.Mutex
	fatal string // the last reason to give up
}

func (l *logger) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l *logger) Warnf(format string, v ...any)   { l.line(slog.LevelWarn, format, v) }
func (l *logger) Errorf(format string, v ...any)  { l.line(slog.LevelWarn, format, v) }
func (l *logger) Debugf(format string, v ...any)  { l.line(slog.LevelDebug, format, v) }
func (l *logger) Tracef(format string, v ...any)  {}

// Fatalf keeps the reason. Unlike the server's own logger it does not exit:
// whoever started the broker decides what its failure means.
func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = trim(fmt.Sprintf(format, v...))
}

// gaveUp returns why the server gave up, or "".
func (l *logger) gaveUp() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *logger) line(level slog.Level, format string, v []any) {
	if !l.log.Enabled(l.ctx, level) {
		return
	}
	line := trim(fmt.Sprintf(format, v...))
	// The server prints a publish it refuses whole, payload included.
	if head, _, ok := strings.Cut(line, " message clientID:"); ok {
		line = head + " message"
	}
	l.log.LogAttrs(l.ctx, level, "broker said", slog.String("line", line))
}

func trim(line string) string { return strings.TrimPrefix(line, "STREAM: ") }
