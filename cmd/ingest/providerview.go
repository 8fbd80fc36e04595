package main

import "pec-ingest/internal/provider"

// providerView is a provider as JSON; what is not known is null.
type providerView struct {
	ID                string              `json:"id"`
	Name              string              `json:"name"`
	Kind              string              `json:"kind"` // pec or mail
	Signers           []string            `json:"signers"`
	Domains           []string            `json:"domains"`
	IMAP              *endpointView       `json:"imap"`
	SMTP              *endpointView       `json:"smtp"`
	TLSCAFile         *string             `json:"tls_ca_file"`
	Login             string              `json:"login"`
	AppPassword       string              `json:"app_password"`
	ValidityDays      *int                `json:"validity_days"`
	ValidityConfirmed *string             `json:"validity_confirmed"`
	ValidityNote      *string             `json:"validity_note"`
	MaxPerMinute      *int                `json:"max_per_minute"`
	ShapeHint         *string             `json:"shape_hint"`
	Steps             map[string][]string `json:"steps"`    // by language
	Postpone          map[string][]string `json:"postpone"` // by language
	Notes             *string             `json:"notes"`
	Source            *string             `json:"source"`
}

type endpointView struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	TLS  string `json:"tls"` // implicit or starttls
}

func viewOfProvider(p provider.Provider) providerView {
	v := providerView{
		ID: p.ID, Name: p.Name, Kind: p.Kind, Signers: orEmpty(p.Signers), Domains: orEmpty(p.Domains),
		IMAP: viewOfEndpoint(p.IMAP), SMTP: viewOfEndpoint(p.SMTP), TLSCAFile: known(p.TLSCAFile),
		Login: p.Login, AppPassword: p.AppPassword,
		ValidityDays: known(p.ValidityDays), ValidityConfirmed: known(p.ValidityConfirmed), ValidityNote: known(p.ValidityNote),
		MaxPerMinute: known(p.MaxPerMinute), ShapeHint: known(p.ShapeHint), Steps: p.Steps, Postpone: p.Postpone,
		Notes: known(p.Notes), Source: known(p.Source),
	}
	if v.Steps == nil {
		v.Steps = map[string][]string{}
	}
	if v.Postpone == nil {
		v.Postpone = map[string][]string{}
	}
	return v
}

func viewOfEndpoint(e provider.Endpoint) *endpointView {
	if e.Host == "" {
		return nil
	}
	return &endpointView{Host: e.Host, Port: e.Port, TLS: e.TLS}
}

// known is nil for a zero value.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
