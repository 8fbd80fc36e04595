package ingest

import "time"

// progressEvery is how often a pass that takes long tells how far it is.
const progressEvery = 10 * time.Second

// progress counts the new messages of one scan.
type progress struct {
	done, total int
	told        time.Time // zero: not begun
}

// begin starts the count.
func (p *pass) beginProgress(total int) {
	p.progress = progress{total: total, told: time.Now()}
}

// step counts one message that is done with, or jumps to done where some of
// the messages before it needed no judging.
func (p *pass) step(done int) {
	if p.progress.total == 0 || done > p.progress.total {
		return
	}
	p.progress.done = max(done, p.progress.done)
	if p.opts.Progress != nil {
		p.opts.Progress(p.progress.done, p.progress.total)
	}
	if now := time.Now(); now.Sub(p.progress.told) >= progressEvery {
		p.progress.told = now
		p.log.Info("a long pass is going on", "event", "pass.progress", "done", p.progress.done, "total", p.progress.total)
	}
}
