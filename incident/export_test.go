package incident

import "time"

// SetWait shortens the patience with a receiver.
func (w *Webhook) SetWait(d time.Duration) { w.client.Timeout = d }
