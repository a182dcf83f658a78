package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	tryTimeout = 10 * time.Second
	maxBody    = 64 << 10 // read so that the connection can be used again
	maxExcerpt = 160
)

// askHTTP gets the URL until the status is the expected one. A redirect is an answer
// like any other: it is not followed, so that a check cannot be sent elsewhere.
func askHTTP(ctx context.Context, v wire.Verify, within time.Duration) wire.Probe {
	u, err := url.Parse(v.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return wire.Probe{Name: v.URL, Verdict: Fail, Message: "this is not an http or https address", Tries: 0}
	}
	if v.Status == 0 {
		v.Status = http.StatusOK
	}
	transport := &http.Transport{TLSHandshakeTimeout: tryTimeout, MaxResponseHeaderBytes: 1 << 20}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	return askUntil(ctx, u.Redacted(), within, func(ctx context.Context) answer { return ask(ctx, client, v) })
}

func ask(ctx context.Context, client *http.Client, v wire.Verify) answer {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL, nil)
	if err != nil {
		return answer{definite: true, message: "this is not an address: " + err.Error()}
	}
	req.Header.Set("User-Agent", "terrace-verify")
	resp, err := client.Do(req)
	if err != nil {
		return silence(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if resp.StatusCode == v.Status {
		if err != nil {
			return answer{definite: true, message: fmt.Sprintf("answered %d, then the connection broke: %v", resp.StatusCode, err)}
		}
		return answer{pass: true, definite: true, message: fmt.Sprintf("answered %d", resp.StatusCode)}
	}
	message := fmt.Sprintf("answered %d, expected %d", resp.StatusCode, v.Status)
	if location := resp.Header.Get("Location"); location != "" {
		message += fmt.Sprintf("; it redirects to %q, which is not followed: verify that address itself", location)
	} else if text := excerpt(body); text != "" {
		message += ": " + text
	}
	return answer{definite: true, message: message}
}

// silence tells what no answer means. The machine that was asked said no: definite. Who
// knows why nothing came: not.
func silence(err error) answer {
	var dns *net.DNSError
	var timeout net.Error
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &dns):
		return answer{message: fmt.Sprintf("the name %s does not resolve (%s)", dns.Name, dns.Err)}
	case errors.As(err, &cert), errors.As(err, &unknown):
		return answer{definite: true, message: "its certificate is not valid: " + cause(err)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return answer{definite: true, message: "connection refused: nothing listens there"}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		return answer{definite: true, message: "the connection was closed without an answer"}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return answer{message: "no answer in time"}
	}
	return answer{message: "it could not be asked: " + cause(err)}
}

// cause drops the method and the address, which the probe's name says already.
func cause(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// excerpt is the first line of a body, if it is text.
func excerpt(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, line)
	if runes := []rune(line); len(runes) > maxExcerpt {
		line = string(runes[:maxExcerpt]) + "…"
	}
	return line
}
