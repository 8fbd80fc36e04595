// Package bench measures the program: a generated studio inbox on a real
// Dovecot, what a first pass over it costs beside other programs, and what a
// poll, a message and a query cost. It holds nothing but tests; `make bench`
// runs them all, and a fast part that compares counts is in every test run.
package bench
