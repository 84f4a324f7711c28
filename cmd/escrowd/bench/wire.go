package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// wire is one HTTP/1.1 connection, used by one goroutine. It does what
// net/http's client does between two requests on a kept-alive connection and
// no more: the generator shares the machine with what it measures, and what
// it uses up the server cannot have.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
	head string // of every request, after its first line
	out  []byte
	body []byte
}

// answerTimeout is how long an answer may take: longer than the server lets a
// request take, so that the server's word comes first.
const answerTimeout = 60 * time.Second

func dial(ctx context.Context, h hello) (*wire, error) {
	u, err := url.Parse(h.Base)
	if err != nil {
		return nil, fmt.Errorf("the server's URL: %w", err)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &wire{conn: c, r: bufio.NewReaderSize(c, 64<<10),
		head: " HTTP/1.1\r\nHost: " + u.Host + "\r\nAuthorization: Bearer " + h.Key +
			"\r\nContent-Type: application/json\r\nAccept: application/json\r\nIdempotency-Key: "}, nil
}

func (w *wire) Close() error { return w.conn.Close() }

// post sends a request and reads the whole answer; body is good until the
// next one. after is what the server asks to wait.
func (w *wire) post(path, key string, in []byte) (status int, body []byte, after time.Duration, err error) {
	w.out = append(w.out[:0], "POST "...)
	w.out = append(w.out, path...)
	w.out = append(w.out, w.head...)
	w.out = append(w.out, key...)
	w.out = append(w.out, "\r\nContent-Length: "...)
	w.out = strconv.AppendInt(w.out, int64(len(in)), 10)
	w.out = append(w.out, "\r\n\r\n"...)
	w.out = append(w.out, in...)
	if err := w.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, nil, 0, err
	}
	if _, err := w.conn.Write(w.out); err != nil {
		return 0, nil, 0, err
	}
	res, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return 0, nil, 0, fmt.Errorf("reading the answer: %w", err)
	}
	defer res.Body.Close()
	w.body = w.body[:0]
	for {
		if len(w.body) == cap(w.body) {
			w.body = append(w.body, 0)[:len(w.body)]
		}
		n, err := res.Body.Read(w.body[len(w.body):cap(w.body)])
		w.body = w.body[:len(w.body)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, nil, 0, fmt.Errorf("reading the answer: %w", err)
		}
	}
	if res.Close {
		return 0, nil, 0, fmt.Errorf("the server closed the connection after answering %d", res.StatusCode)
	}
	if s := res.Header.Get("Retry-After"); s != "" {
		seconds, err := strconv.Atoi(s)
		if err != nil {
			return 0, nil, 0, fmt.Errorf("Retry-After: %w", err)
		}
		after = time.Duration(seconds) * time.Second
	}
	return res.StatusCode, w.body, after, nil
}
