package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"pec-ingest/internal/ingest"
	"pec-ingest/internal/web"
)

// rightOTP is the right to ask for one-time codes: that of otp.readers.
const rightOTP = "otp"

type otpCmd struct {
	Add    otpAddCmd    `cmd:"" help:"Keep the seed of an account's codes: its otpauth:// URI, read from standard input."`
	Get    otpGetCmd    `cmd:"" help:"Print the code of this moment."`
	List   otpListCmd   `cmd:"" help:"The accounts, without their seeds."`
	Remove otpRemoveCmd `cmd:"" help:"Destroy the seed of an account."`
}

// maxSeed is more than any otpauth:// URI has.
const maxSeed = 4096

type otpAddCmd struct {
	Mailbox string `arg:"" help:"Whose account it is: a client's mailbox, or the studio's."`
	Account string `help:"The account's name; default the one in the URI, else the mailbox." placeholder:"NAME"`
	Replace bool   `help:"Put this seed in place of the one that the account has."`
	JSON    bool   `help:"Print JSON."`
}

func (c *otpAddCmd) Run(ctx context.Context, env *environment) error {
	seed, err := env.readLine("Seed or otpauth:// URI: ", maxSeed)
	if err != nil {
		return err
	}
	defer seed.Wipe()
	return env.with(ingest.Writing, func(b backend) error {
		row, err := b.AddOTP(ctx, ingest.OTPRequest{Actor: actor(), Mailbox: c.Mailbox, Account: c.Account, Replace: c.Replace, Seed: seed}, time.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, row)
		}
		_, err = fmt.Fprintf(env.stdout, "%s: one-time codes of %s are kept (%s, %d digits, %d seconds); compare one with the account's page before you leave it\n",
			row.Mailbox, cell(row.Account), row.Algorithm, row.Digits, row.Period)
		return err
	})
}

type otpGetCmd struct {
	Mailbox string `arg:"" help:"Whose code."`
	Account string `help:"Which account, where there are several." placeholder:"NAME"`
	JSON    bool   `help:"Print JSON with the seconds that it is still good for."`
}

func (c *otpGetCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(b backend) error {
		code, err := b.OTP(ctx, actor(), c.Mailbox, c.Account)
		if err != nil {
			return err
		}
		defer code.Code.Wipe()
		if c.JSON {
			return printJSON(env.stdout, map[string]any{"mailbox": code.Mailbox, "account": code.Account, "code": code.Code.RevealString(),
				"seconds_left": int(code.Left.Seconds()), "period": code.Period})
		}
		line := append(bytes.Clone(code.Code.Reveal()), '\n')
		defer clear(line)
		_, err = env.stdout.Write(line)
		return err
	})
}

type otpListCmd struct {
	Mailbox string `arg:"" optional:"" help:"Only this mailbox."`
	JSON    bool   `help:"Print JSON."`
}

func (c *otpListCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(b backend) error {
		rows, err := b.OTPs(ctx, c.Mailbox)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(env.stdout, rows)
		}
		t := newTable(env.stdout, "MAILBOX", "ACCOUNT", "ISSUER", "CODE", "ADDED", "BY")
		for _, r := range rows {
			t.row(r.Mailbox, r.Account, r.Issuer, fmt.Sprintf("%s, %d digits, %d s", r.Algorithm, r.Digits, r.Period), r.AddedAt, r.AddedBy)
		}
		return t.flush()
	})
}

type otpRemoveCmd struct {
	Mailbox string `arg:"" help:"Whose account."`
	Account string `help:"Which account, where there are several." placeholder:"NAME"`
}

func (c *otpRemoveCmd) Run(ctx context.Context, env *environment) error {
	return env.with(ingest.Reading, func(b backend) error {
		return b.RemoveOTP(ctx, actor(), c.Mailbox, c.Account)
	})
}

// otpBackend is the part of backend for one-time codes.
type otpBackend interface {
	AddOTP(ctx context.Context, r ingest.OTPRequest, now time.Time) (ingest.OTPRow, error)
	OTP(ctx context.Context, reader, mailbox, account string) (ingest.OTPCode, error)
	OTPs(ctx context.Context, mailbox string) ([]ingest.OTPRow, error)
	RemoveOTP(ctx context.Context, actor, mailbox, account string) error
}

type otpAddIn struct {
	Mailbox string `json:"mailbox"`
	Account string `json:"account"` // "" = the name in the URI, else the mailbox
	Replace bool   `json:"replace"`
	Seed    []byte `json:"seed"` // otpauth:// URI or base32
}

type otpIn struct {
	Mailbox string `json:"mailbox"`
	Account string `json:"account"` // "" = the only one
}

type otpOut struct {
	Mailbox string `json:"mailbox"`
	Account string `json:"account"`
	Code    []byte `json:"code"`
	LeftMS  int    `json:"left_ms"`
	Period  int    `json:"period"` // seconds
}

// Wipe implements what the server calls when the answer has been written.
func (o otpOut) Wipe() { clear(o.Code) }

func otpEndpoints(now current) []endpoint {
	list := []endpoint{
		op(now, "otp.get", web.RightAdmin, "The one-time code of this moment; audited.",
			func(ctx context.Context, s *ingest.Service, who string, in otpIn) (otpOut, error) {
				c, err := s.OTP(ctx, who, in.Mailbox, in.Account)
				if err != nil {
					return otpOut{}, err
				}
				defer c.Code.Wipe()
				return otpOut{c.Mailbox, c.Account, bytes.Clone(c.Code.Reveal()), int(c.Left.Milliseconds()), c.Period}, nil
			}),
		op(now, "otp.list", web.RightAdmin, "The accounts with one-time codes, without their seeds.",
			func(ctx context.Context, s *ingest.Service, _ string, in mailboxIn) ([]ingest.OTPRow, error) {
				return s.OTPs(ctx, in.Mailbox)
			}),
	}
	for i := range list {
		list[i].Also = rightOTP
	}
	return append(list,
		op(now, "otp.add", web.RightAdmin, "Keeps the seed of an account's one-time codes.",
			func(ctx context.Context, s *ingest.Service, who string, in otpAddIn) (ingest.OTPRow, error) {
				seed := take(in.Seed)
				defer seed.Wipe()
				return s.AddOTP(ctx, ingest.OTPRequest{Actor: who, Mailbox: in.Mailbox, Account: in.Account, Replace: in.Replace, Seed: seed}, time.Now())
			}),
		op(now, "otp.remove", web.RightAdmin, "Destroys the seed of an account.",
			func(ctx context.Context, s *ingest.Service, who string, in otpIn) (nothing, error) {
				return nothing{}, s.RemoveOTP(ctx, who, in.Mailbox, in.Account)
			}))
}

func (r *remote) AddOTP(ctx context.Context, q ingest.OTPRequest, _ time.Time) (ingest.OTPRow, error) {
	return ask[ingest.OTPRow](ctx, r, "otp.add", otpAddIn{q.Mailbox, q.Account, q.Replace, reveal(q.Seed)})
}

func (r *remote) OTP(ctx context.Context, _, mailbox, account string) (ingest.OTPCode, error) {
	out, err := ask[otpOut](ctx, r, "otp.get", otpIn{mailbox, account})
	if err != nil {
		return ingest.OTPCode{}, err
	}
	code := take(out.Code)
	return ingest.OTPCode{Mailbox: out.Mailbox, Account: out.Account, Code: code, Left: time.Duration(out.LeftMS) * time.Millisecond, Period: out.Period}, nil
}

func (r *remote) OTPs(ctx context.Context, mailbox string) ([]ingest.OTPRow, error) {
	return ask[[]ingest.OTPRow](ctx, r, "otp.list", mailboxIn{mailbox})
}

func (r *remote) RemoveOTP(ctx context.Context, _, mailbox, account string) error {
	_, err := ask[nothing](ctx, r, "otp.remove", otpIn{mailbox, account})
	return err
}
