package intake

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"escrowd/intake/api"
	"escrowd/ledger"
)

// probeTimeout bounds what /readyz waits for: a probe that hangs is a no.
const probeTimeout = 2 * time.Second

func (s *Server) healthz(*call) (answer, error) {
	return answer{body: api.Health{Status: "ok"}}, nil
}

// readyz asks the database and the ledger something small. What failed stays
// in the log: the probe needs no key, so its answer tells strangers nothing.
func (s *Server) readyz(c *call) (answer, error) {
	if s.draining.Load() {
		return answer{}, newProblem(api.ProblemUnavailable, "shutting down")
	}
	ctx, cancel := context.WithTimeout(c.ctx, probeTimeout)
	defer cancel()
	if err := s.opts.Store.Ping(ctx); err != nil {
		s.log.Warn("not ready", "part", "database", "error", err)
		return answer{}, newProblem(api.ProblemUnavailable, "the database does not answer")
	}
	// No account has the id 1: the answer is empty, and quick.
	if _, err := s.opts.Ledger.LookupAccounts(ctx, []ledger.ID{ledger.U64(1)}); err != nil {
		s.log.Warn("not ready", "part", "ledger", "error", err)
		return answer{}, newProblem(api.ProblemUnavailable, "the ledger does not answer")
	}
	return answer{body: api.Health{Status: "ok"}}, nil
}

const frontPage = `escrowd: an escrow ledger for marketplaces.

  /v1/...          the API; it wants the header Authorization: Bearer KEY
  /openapi.json    what the API takes and answers (OpenAPI 3.1)
  /problems/...    what each kind of problem means
  /healthz         the process runs
  /readyz          the database and the ledger answer

A key is made on the server: escrowd key create MARKETPLACE NAME
A way to try it:             curl -H "Authorization: Bearer $KEY" http://HOST/v1/whoami
`

// plainPages are the pages for people, and the document.
func (s *Server) plainPages() {
	text := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(body)) // nobody is left to tell
	}
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { text(w, frontPage) })
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(s.document)
	})
	s.mux.HandleFunc("GET /problems/{$}", func(w http.ResponseWriter, _ *http.Request) {
		var b strings.Builder
		for _, k := range kinds {
			fmt.Fprintf(&b, "%-34s %d  %s\n", k.typ, k.status, k.title)
		}
		text(w, b.String())
	})
	for _, k := range kinds {
		s.mux.HandleFunc("GET "+k.typ, func(w http.ResponseWriter, _ *http.Request) {
			text(w, fmt.Sprintf("%s (%d)\n\n%s.\n%s\n", k.typ, k.status, k.title, k.meaning))
		})
	}
}
