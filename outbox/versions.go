package outbox

import "lockstep/event"

// versions remembers the last published version of the keys that were
// published most recently: of at least size keys and at most twice as many.
// What it has forgotten costs at most a duplicate.
type versions struct {
	size       int
	young, old map[string]int64
}

func newVersions(size int) *versions {
	return &versions{size: size, young: map[string]int64{}}
}

// last returns the last version of key that was published, or event.None.
func (v *versions) last(key string) int64 {
	if version, ok := v.young[key]; ok {
		return version
	}
	if version, ok := v.old[key]; ok {
		return version
	}
	return event.None
}

func (v *versions) set(key string, version int64) {
	v.young[key] = version
	if len(v.young) >= v.size {
		v.young, v.old = make(map[string]int64, v.size), v.young
	}
}

func (v *versions) forget(key string) {
	delete(v.young, key)
	delete(v.old, key)
}
