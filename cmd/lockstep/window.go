package main

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// nodeWindow is how Node's orders service is told how long a reservation
// lasts, in whole seconds.
const nodeWindow = "EXPIRATION_WINDOW_SECONDS"

// windowOfNode resolves ORDER_WINDOW from the variable of the Node service
// where only that one is set.
func windowOfNode(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !fromNode(flag) {
		return nil, nil
	}
	w, err := readNodeWindow()
	if err != nil {
		return nil, err
	}
	return w.String(), nil
}

// fromNode reports whether flag is the window and only Node's variable says
// how long it is.
func fromNode(flag *kong.Flag) bool {
	return flag.Name == "order-window" && os.Getenv("ORDER_WINDOW") == "" && os.Getenv(nodeWindow) != ""
}

func readNodeWindow() (time.Duration, error) {
	n, err := strconv.ParseInt(os.Getenv(nodeWindow), 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s is %q: want whole seconds, at least 1, or set ORDER_WINDOW", nodeWindow, os.Getenv(nodeWindow))
	}
	return time.Duration(n) * time.Second, nil
}

// windowsDiffer returns what is wrong if Node's variable says something else
// than the window in force; "" if it does not.
func windowsDiffer(inForce time.Duration) string {
	text := os.Getenv(nodeWindow)
	if w, err := readNodeWindow(); text == "" || err == nil && w == inForce {
		return ""
	}
	return fmt.Sprintf("%s says %s", nodeWindow, text)
}

// windowSource says where the window comes from, if Node's variable has to do
// with it; otherwise it returns source.
func windowSource(flag *kong.Flag, source string) string {
	window, ok := flag.Target.Interface().(time.Duration)
	if flag.Name != "order-window" || !ok {
		return source
	}
	if fromNode(flag) && source == "default" {
		return nodeWindow
	}
	if differs := windowsDiffer(window); differs != "" {
		return source + "; " + differs
	}
	return source
}

// warnOfWindows says so if an expiration service on the bus may go by another
// window than the one in force.
func warnOfWindows(log *slog.Logger, inForce time.Duration) {
	if differs := windowsDiffer(inForce); differs != "" {
		log.Warn("reservations last as ORDER_WINDOW says, and Node's variable says something else: unset one of them",
			"order_window", inForce, "node", differs)
	}
}
