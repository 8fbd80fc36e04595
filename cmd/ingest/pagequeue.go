package main

import (
	"context"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web/page"
)

// The page's review queue and outbox, over the service.

func pageReview(r ingest.ReviewRow, client string) page.Review {
	return page.Review{N: r.N, Mailbox: r.Mailbox, Login: or(r.Login), Client: client, Reason: r.Reason, Letters: r.Letters, Opened: r.OpenedAt,
		Decided: or(r.DecidedAt), DecidedBy: or(r.DecidedBy), Decision: or(r.Decision)}
}

func (s pageSource) Reviews(ctx context.Context, all bool) ([]page.Review, error) {
	service := s.now()
	rows, err := service.Reviews(ctx, all)
	if err != nil {
		return nil, pageError(err)
	}
	clients, err := service.Clients(ctx)
	if err != nil {
		return nil, pageError(err)
	}
	names := map[string]string{}
	for _, c := range clients {
		names[c.Mailbox] = or(c.Name)
	}
	list := make([]page.Review, 0, len(rows))
	for _, r := range rows {
		list = append(list, pageReview(r, names[r.Mailbox]))
	}
	return list, nil
}

func (s pageSource) Review(ctx context.Context, who string, n int, reveal bool) (page.ReviewItem, error) {
	r, err := s.now().ReviewShow(ctx, who, n, reveal)
	if err != nil {
		return page.ReviewItem{}, pageError(err)
	}
	item := page.ReviewItem{Review: pageReview(r.ReviewRow, or(r.Client)), Listed: r.Listed, Sent: r.SentAt, Subject: r.Subject, Letter: r.Letter,
		Notes: r.Notes, Stated: dayOf(r.Expires)}
	for _, c := range r.Candidates {
		item.Candidates = append(item.Candidates, page.Candidate{N: c.N, Length: c.Length, Where: c.Where, Refused: c.Refused, Shown: or(c.Secret)})
	}
	for _, f := range r.Files {
		item.Files = append(item.Files, page.FileInfo{N: f.N, Size: f.Size, Name: f.Name, Type: f.Type})
	}
	return item, nil
}

func (s pageSource) ReviewFile(ctx context.Context, who string, n, file int) (page.FileInfo, []byte, error) {
	f, data, err := s.now().ReviewFile(ctx, who, n, file)
	return page.FileInfo{N: f.N, Size: f.Size, Name: f.Name, Type: f.Type}, data, pageError(err)
}

func (s pageSource) Approve(ctx context.Context, a page.Approval) (page.Stored, error) {
	service := s.now()
	r, err := service.ReviewApprove(ctx, ingest.Approval{Actor: a.Who, N: a.N, Candidate: a.Candidate, Typed: a.Typed, Mailbox: a.Mailbox,
		Login: a.Login, Expires: a.Expires, NewClient: a.NewClient}, time.Now())
	service.OutboxChanged()
	return pageStored(r), pageError(err)
}

func (s pageSource) Reject(ctx context.Context, who string, n int, reason string, tell bool) error {
	service := s.now()
	err := service.ReviewReject(ctx, who, n, reason, tell, time.Now())
	service.OutboxChanged()
	return pageError(err)
}

func pageMessage(m ingest.Sending) page.Message {
	return page.Message{N: m.N, Kind: m.Kind, To: m.To, Mailbox: m.Mailbox, State: m.State, Queued: m.QueuedAt, Sent: m.SentAt,
		StateAt: m.StateAt, NextTry: m.NextAt, Tries: m.Tries, Error: m.LastError, MessageID: m.MessageID, External: m.External,
		Withdrawn: m.Withdrawn, Late: m.Late}
}

func (s pageSource) Messages(ctx context.Context) ([]page.Message, error) {
	rows, err := s.now().Sendings(ctx, "", time.Now())
	if err != nil {
		return nil, pageError(err)
	}
	list := make([]page.Message, 0, len(rows))
	for _, m := range rows {
		list = append(list, pageMessage(m))
	}
	return list, nil
}

func (s pageSource) Message(ctx context.Context, n int) (page.MessageText, error) {
	service := s.now()
	m, proof, err := service.Sending(ctx, n, time.Now())
	if err != nil {
		return page.MessageText{}, pageError(err)
	}
	t := page.MessageText{Message: pageMessage(m)}
	t.Proof = proof
	_, t.Subject, t.Text, err = service.OutboxMessage(ctx, n)
	return t, pageError(err)
}

func (s pageSource) Proof(ctx context.Context, n int) ([]byte, error) {
	raw, err := s.now().OutboxReceipt(ctx, n)
	return raw, pageError(err)
}

func (s pageSource) Retry(ctx context.Context, who string, n int) error {
	service := s.now()
	err := service.OutboxRetry(ctx, who, n)
	service.OutboxChanged()
	return pageError(err)
}

func (s pageSource) Drop(ctx context.Context, who string, n int) error {
	return pageError(s.now().OutboxDrop(ctx, who, n))
}
