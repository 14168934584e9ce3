// Package rungroup runs the parts of a process together and stops them one
// stage after the other: what takes work in first, what others still need
// last.
//
// It promises that a part's end, or the caller's, ends all of them, that a
// stage has ended before the next one is told to, and that nothing is waited
// for beyond the deadline.
package rungroup
