package replica

import "lockstep/event"

// Decide is the version rule. stored is the version a replica holds
// (event.None for nothing) and predecessor the version that must be there
// before the event (event.None for a record's first).
//
//	predecessor = stored  Applied: the event is the next one
//	predecessor < stored  Duplicate: it was applied before, or overtaken
//	predecessor > stored  Early: something between them has not come yet
func Decide(stored, predecessor int64) event.Outcome {
	switch {
	case predecessor == stored:
		return event.Applied
	case predecessor < stored:
		return event.Duplicate
	default:
		return event.Early
	}
}
