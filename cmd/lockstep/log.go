package main

import (
	"context"
	"io"
	"log/slog"
	"os"
)

// logFlags say how the process logs.
type logFlags struct {
	LogFormat string `env:"LOG_FORMAT" oneof:",text,json" default:"" help:"text or json; unset: text on a terminal, else json."`
	LogLevel  string `env:"LOG_LEVEL" oneof:"debug,info,warn,error" default:"info" help:"debug, info, warn or error."`
}

// logger returns a logger that writes to w.
func (f logFlags) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(f.LogLevel)) // one of the enum
	o := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "text" || f.LogFormat == "" && terminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	o.ReplaceAttr = spelled
	return slog.New(slog.NewJSONHandler(w, o))
}

// spelled writes durations as text does: 1.5s, not 1500000000.
func spelled(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// failed says why a service ended, in the form of the rest of its log.
func (f logFlags) failed(ctx context.Context, w io.Writer, err error) {
	f.logger(w).ErrorContext(ctx, "ended", "err", err)
}

// terminal reports whether a person reads what is written to w.
func terminal(w io.Writer) bool {
	for {
		under, ok := w.(interface{ Unwrap() io.Writer })
		if !ok {
			break
		}
		w = under.Unwrap()
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
