package mongotest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// owns reports whether the process has the loopback connection from one
// address to another. Both are needed: the kernel gives a port to several
// connections that go to different places.
func owns(pid int, from, to net.Addr) bool {
	inode := inodeOf(from.(*net.TCPAddr).Port, to.(*net.TCPAddr).Port)
	if inode == "" {
		return false
	}
	folder := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	files, err := os.ReadDir(folder)
	if err != nil {
		return false // it has ended
	}
	for _, f := range files {
		if to, err := os.Readlink(filepath.Join(folder, f.Name())); err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}

// inodeOf returns the inode of the socket of this end of a connection on
// 127.0.0.1, or "". See proc(5), /proc/net/tcp.
func inodeOf(from, to int) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	local, remote := fmt.Sprintf("0100007F:%04X", from), fmt.Sprintf("0100007F:%04X", to)
	for line := range bytes.Lines(table) {
		if f := strings.Fields(string(line)); len(f) > 9 && f[1] == local && f[2] == remote {
			return f[9]
		}
	}
	return ""
}
