package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// dropIndexes removes the indexes of the messages, which the server then makes
// again from the messages themselves.
//
// A broker that is killed may leave messages in a file that its index does not
// have yet. The server goes by the index and writes the next messages behind
// them under the same sequences; when it reads ahead, it then hands out those
// it had forgotten in the place of others, which it has confirmed and nobody
// ever gets. Seen with nats-streaming-server 0.25.6 in two of seven runs of 25
// kills under load, and in none of seven since the indexes are dropped.
func dropIndexes(dir string) error {
	indexes, err := filepath.Glob(filepath.Join(dir, "*", "msgs.*.idx"))
	if err != nil {
		return err
	}
	for _, name := range indexes {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// fileHead is how many bytes of a file of the server come before its first
// record: the version of its format. Written first, they are there before
// anything that was confirmed.
const fileHead = 4

// dropBlanks removes the files that a broker had made and not begun to write
// when it was killed, or the power cut, and returns their names. They held
// nothing, and the server refuses to start on them. It makes them again.
func dropBlanks(dir string) (dropped []string, err error) {
	drop := func(names ...string) error {
		for _, name := range names {
			switch err := os.Remove(name); {
			case err == nil:
				dropped = append(dropped, name)
			case !errors.Is(err, os.ErrNotExist):
				return err
			}
		}
		return nil
	}
	blanks, err := blanksIn(dir)
	if err != nil {
		return nil, err
	}
	for channel, names := range blanks {
		if lost, err := hasNoMessages(channel); err != nil {
			return dropped, err
		} else if lost && channel != dir {
			// First, for positions in a channel that begins anew would swallow
			// its messages: the next start would not find the blank any more.
			names = append([]string{filepath.Join(channel, "subs.dat")}, names...)
		}
		if err := drop(names...); err != nil {
			return dropped, err
		}
	}
	server := filepath.Join(dir, "server.dat")
	if whole, err := wholeRecord(server); err != nil || whole {
		return dropped, err
	}
	return dropped, drop(server)
}

// blanksIn returns the blank files of a store by their directory.
func blanksIn(dir string) (map[string][]string, error) {
	blanks := map[string][]string{}
	for _, pattern := range []string{"clients.dat", "*/subs.dat", "*/msgs.*.dat", "*/msgs.*.idx"} {
		names, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			is, err := blank(name)
			if err != nil {
				return nil, err
			}
			if !is {
				continue
			}
			in := filepath.Dir(name)
			blanks[in] = append(blanks[in], name)
			if messages, ok := strings.CutSuffix(name, ".dat"); ok {
				blanks[in] = append(blanks[in], messages+".idx") // it would speak of what is gone
			}
		}
	}
	return blanks, nil
}

// blank reports whether a file has no head: it is too short, or all zeros, as
// some file systems leave what was not synced.
func blank(name string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	page := make([]byte, 4096)
	n, err := io.ReadFull(f, page)
	if n < fileHead {
		return true, ignoreEnd(err)
	}
	for ; n > 0; n, err = io.ReadFull(f, page) {
		if len(bytes.Trim(page[:n], "\x00")) > 0 {
			return false, nil
		}
	}
	return true, ignoreEnd(err)
}

// hasNoMessages reports whether no file of a channel has a record.
func hasNoMessages(channel string) (bool, error) {
	names, err := filepath.Glob(filepath.Join(channel, "msgs.*.dat"))
	if err != nil {
		return false, err
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return false, err
		}
		empty, err := blank(name)
		if err != nil || !empty && info.Size() > fileHead {
			return false, err
		}
	}
	return true, nil
}

// wholeRecord reports whether a file is absent, or has its head and one whole
// record behind it: a size and a checksum of four bytes each, and the rest.
func wholeRecord(name string) (bool, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	const recordHead = 8
	if err != nil || len(data) < fileHead+recordHead {
		return false, err
	}
	size := binary.LittleEndian.Uint32(data[fileHead:])
	return size > 0 && uint64(len(data)) == fileHead+recordHead+uint64(size), nil
}

// ignoreEnd forgets that a file ended.
func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
