package intake

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"escrowd/intake/api"
	"escrowd/settlement/order"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares text with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update rewrites it); got:\n%s", file, got)
	}
}

// TestProblemShapes: what programs read of problems stays as it is.
func TestProblemShapes(t *testing.T) {
	s := newSetup(t)
	o := s.held("one", 100)
	id := regexp.MustCompile(`"request_id":"[0-9a-f]{16}"`)
	var b strings.Builder
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/orders", `{"reference":"x","reference":"y"}`},
		{"POST", "/v1/orders", `{"reference":"x","Buyer":"y","amount":1.5}`},
		{"POST", "/v1/orders", `{"reference":"one","buyer":"b","seller":"s","currency":"USD","amount":1}`},
		{"GET", "/v1/orders?state=lost&page=1", ""},
		{"GET", "/v1/orders/1", ""},
		{"PUT", "/v1/orders", ""},
		{"POST", "/v1/orders/" + o.ID + "/confirm", ""},
		{"POST", "/v1/orders/" + o.ID + "/refund", `{"amount":101}`},
		{"POST", "/v1/bulk/ship", `{"items":[{"order":"1"}]}`},
	} {
		status, h, text := s.send(c.method, c.path, c.body)
		text = id.ReplaceAllString(text, `"request_id":"0123456789abcdef"`)
		fmt.Fprintf(&b, "%s %s %s\n%d %s\n%s\n", c.method, strings.ReplaceAll(c.path, o.ID, "{id}"), c.body, status, h.Get("Content-Type"), text)
	}
	golden(t, "problems.txt", b.String())
}

// TestPaths: the routes, as the mux has them, and what may come of each.
func TestPaths(t *testing.T) {
	var b strings.Builder
	for _, r := range newSetup(t).server.routes() {
		fmt.Fprintf(&b, "%-5s %-28s %s\n", r.method, r.path, r.id)
	}
	golden(t, "routes.txt", b.String())
}

type document struct {
	OpenAPI    string
	Security   []map[string][]string
	Paths      map[string]map[string]operation
	Components struct {
		Schemas         map[string]map[string]any
		SecuritySchemes map[string]map[string]any
	}
}

type operation struct {
	OperationID string
	Summary     string
	Description string
	Tags        []string
	Security    []map[string][]string
	Parameters  []struct{ Name, In, Description string }
	RequestBody struct{ Content map[string]any }
	Responses   map[string]struct {
		Description string
		Content     map[string]struct{ Schema map[string]any }
	}
}

// TestDocument: every route is in the OpenAPI document with all it may answer,
// every reference leads somewhere, and what the server really answers is
// among what it says.
func TestDocument(t *testing.T) {
	s := newSetup(t)
	status, h, text := s.send("GET", "/openapi.json", "", "Authorization", "")
	if status != 200 || h.Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("%d %v", status, h)
	}
	var d document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if d.OpenAPI != "3.1.0" || len(d.Security) != 1 || d.Components.SecuritySchemes["key"]["scheme"] != "bearer" {
		t.Errorf("openapi %s, security %v %v", d.OpenAPI, d.Security, d.Components.SecuritySchemes)
	}
	ids := map[string]bool{}
	routes := s.server.routes()
	for _, r := range routes {
		op, ok := d.Paths[r.path][strings.ToLower(r.method)]
		if !ok {
			t.Errorf("%s %s is not documented", r.method, r.path)
			continue
		}
		if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
			t.Errorf("%s %s: %+v", r.method, r.path, op)
		}
		ids[op.OperationID] = true
		if (op.Security != nil) != r.public {
			t.Errorf("%s %s: security %v", r.method, r.path, op.Security)
		}
		if (len(op.RequestBody.Content) > 0) != (r.method == "POST") {
			t.Errorf("%s %s: body %v", r.method, r.path, op.RequestBody)
		}
		for code, res := range op.Responses {
			media := "application/problem+json"
			if code[0] == '2' {
				media = "application/json"
			}
			if res.Description == "" || res.Content[media].Schema["$ref"] == nil {
				t.Errorf("%s %s %s: %+v", r.method, r.path, code, res)
			}
		}
		want := []string{"400", "500", "503"}
		if !r.public {
			want = append(want, "401")
		}
		if r.keyed && r.tag != tagBulk {
			want = append(want, "409", "413", "415", "422")
		}
		for _, code := range want {
			if _, ok := op.Responses[code]; !ok {
				t.Errorf("%s %s: no response %s", r.method, r.path, code)
			}
		}
	}
	operations := 0
	for _, p := range d.Paths {
		operations += len(p)
	}
	if operations != len(routes) {
		t.Errorf("%d operations are documented, there are %d routes", operations, len(routes))
	}
	for _, ref := range regexp.MustCompile(`"\$ref":"([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if name, ok := strings.CutPrefix(ref[1], "#/components/schemas/"); !ok || d.Components.Schemas[name] == nil {
			t.Errorf("%s leads nowhere", ref[1])
		}
	}
	for name, schema := range d.Components.Schemas {
		closed := schema["additionalProperties"] == false
		request := name == "NewOrder" || name == "Payment" || name == "ShipItem" || name == "Fee" || name == "FeeRule" || name == "NewQuote"
		answer := name == "Order" || name == "Problem" || name == "Answer" || name == "Feed" || name == "Quote" || name == "MethodCost"
		if request && !closed || answer && closed {
			t.Errorf("%s: additionalProperties %v", name, schema["additionalProperties"])
		}
	}
}

// TestWordsAgree: the states, events and roles of the API's tags are those of
// the state table.
func TestWordsAgree(t *testing.T) {
	enum := func(v any, name string) []string {
		f, ok := reflect.TypeOf(v).FieldByName(name)
		if !ok {
			t.Fatalf("%T has no %s", v, name)
		}
		return strings.Split(f.Tag.Get("enum"), ",")
	}
	var states, roles, deadlines []string
	for _, s := range order.States {
		states = append(states, string(s))
	}
	for _, r := range []order.Role{order.Buyer, order.Seller, order.Carrier, order.Operator} {
		roles = append(roles, string(r))
	}
	for _, d := range order.Deadlines {
		deadlines = append(deadlines, string(d))
	}
	if got := enum(api.Order{}, "State"); !slices.Equal(got, states) {
		t.Errorf("states %v, want %v", got, states)
	}
	if got := enum(api.Act{}, "By"); !slices.Equal(got, roles) {
		t.Errorf("roles %v, want %v", got, roles)
	}
	if got := enum(api.Order{}, "Deadline"); !slices.Equal(got, deadlines) {
		t.Errorf("deadlines %v, want %v", got, deadlines)
	}
}

// TestMetrics: every metric has a unit, help, and no label that strangers fill.
func TestMetrics(t *testing.T) {
	s := newSetup(t)
	s.agreed("one", 1)
	s.send("GET", "/v1/orders/1", "")
	s.send("GET", "/some/path", "")
	s.send("BREW", "/v1/orders", "")
	s.send("POST", "/v1/bulk/ship", `{"items":[{},{}]}`)
	s.http.Close()
	problems, err := testutil.GatherAndLint(s.reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	want := `
# HELP escrowd_http_bulk_items_total Items of bulk requests by route and the status of their answers.
# TYPE escrowd_http_bulk_items_total counter
escrowd_http_bulk_items_total{code="400",route="/v1/bulk/ship"} 2
# HELP escrowd_http_requests_in_flight Requests to the API that are being served.
# TYPE escrowd_http_requests_in_flight gauge
escrowd_http_requests_in_flight 0
# HELP escrowd_http_requests_total Requests to the API by route, method and status.
# TYPE escrowd_http_requests_total counter
escrowd_http_requests_total{code="200",method="POST",route="/v1/bulk/ship"} 1
escrowd_http_requests_total{code="201",method="POST",route="/v1/orders"} 1
escrowd_http_requests_total{code="404",method="GET",route="/v1/orders/{id}"} 1
escrowd_http_requests_total{code="404",method="GET",route="unmatched"} 1
escrowd_http_requests_total{code="405",method="other",route="unmatched"} 1
`
	if err := testutil.GatherAndCompare(s.reg, strings.NewReader(want), "escrowd_http_requests_total",
		"escrowd_http_requests_in_flight", "escrowd_http_bulk_items_total"); err != nil {
		t.Error(err)
	}
}
