package render_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"escrowd/reports"
	"escrowd/reports/render"
	"escrowd/settlement/order"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func at(day int) time.Time { return time.Date(2024, 1, day, 12, 0, 0, 0, time.UTC) }

var large = reports.Units(1 << 62)

func trialBalance() *reports.Of[reports.TrialBalanceRow] {
	u := reports.Units
	return &reports.Of[reports.TrialBalanceRow]{
		Head: reports.Head{Report: "trial-balance", Title: "Trial balance", AsOf: at(20), Basis: reports.Effective,
			LedgerTimestamp: 1705752000000000001, Scope: "all marketplaces, all currencies"},
		Rows: []reports.TrialBalanceRow{
			{Code: 1100, Account: "pay-in clearing", Currency: "JPY", Debits: u(5300), Credits: u(0), Balance: u(5300)},
			{Code: 2100, Account: "escrow", Currency: "JPY", Debits: u(0), Credits: u(5300), Balance: u(5300)},
			{Code: 1400, Account: "FX position", Currency: "KWD", Debits: u(5), Credits: u(12345), Balance: u(-12340)},
			{Code: 2000, Account: "buyer", Currency: "USD", Debits: large.Add(large), Credits: large.Add(large), Balance: u(0)},
			{Code: 2100, Account: "escrow", Currency: "USD", Debits: u(7), Credits: u(5), Balance: u(-2)},
		},
		Totals: []reports.TrialBalanceRow{
			{Account: "total", Currency: "JPY", Debits: u(5300), Credits: u(5300)},
			{Account: "total", Currency: "USD", Debits: u(7), Credits: u(5), Balance: u(2)},
		},
		Problems: []string{"USD of marketplace 1 shop: debits 0.07 and credits 0.05 differ by 0.02"},
	}
}

func heldByOrder() *reports.Of[reports.HeldOrderRow] {
	return &reports.Of[reports.HeldOrderRow]{
		Head: reports.Head{Report: "held-funds", Title: "Held funds by order", AsOf: at(20), Open: true, Basis: reports.Effective,
			Scope: "marketplace 1 shop, USD"},
		Rows: []reports.HeldOrderRow{
			{Currency: "USD", Bucket: "0-7", State: "held", Reason: "paid, not yet shipped", NextActor: "seller", Amount: reports.Units(5000),
				Marketplace: 1, Reference: "a \"quoted\", one\r\n\x1b[2Jand a line", OrderID: "018cc251-f400-7000-8000-000000000001", Buyer: "ann", Seller: "bób 店",
				PaidAt: at(19), Days: 1, Deadline: "ship_by", DeadlineAt: at(29).Add(1234 * time.Microsecond), Otherwise: "It goes back."},
			{Currency: "USD", Bucket: "8-14", State: "disputed", Reason: "in dispute, frozen", NextActor: "operator", Amount: reports.Units(1),
				Marketplace: 1, Reference: "b", OrderID: "018cc251-f400-7000-8000-000000000002", Buyer: "ann", Seller: "bob",
				PaidAt: at(10), Days: 10, Deadline: "rule_by", DeadlineAt: at(19), Overdue: true, Otherwise: "Nothing moves by itself."},
		},
		Totals: []reports.HeldOrderRow{{Currency: "USD", Bucket: "total", Amount: reports.Units(5001)}},
		Notes:  []string{"2 movements stand in the ledger and are about to be recorded on their orders; they are not counted here"},
	}
}

func orderRows() *reports.Of[reports.OrderRow] {
	due := at(29)
	return &reports.Of[reports.OrderRow]{
		Head: reports.Head{Report: "orders", Title: "Orders", AsOf: at(20), Open: true, Basis: reports.Effective, LedgerTimestamp: 1705752000000000001,
			Scope: "all marketplaces, all currencies"},
		Rows: []reports.OrderRow{
			{OrderID: "018cc251-f400-7000-8000-000000000001", Marketplace: 1, Reference: "a", State: "held", Currency: "KWD",
				Amount: reports.Units(12345), Held: reports.Units(12345), NextActor: "seller", Deadline: "ship_by", DeadlineAt: &due},
			{OrderID: "018cc251-f400-7000-8000-000000000002", Marketplace: 2, Reference: "b", State: "expired", Currency: "JPY", Amount: reports.Units(7)},
		},
	}
}

func emptyReport() *reports.Of[reports.HeldFundsRow] {
	return &reports.Of[reports.HeldFundsRow]{Head: reports.Head{Report: "held-funds", Title: "Held funds by age", AsOf: at(1), Basis: reports.Booked,
		Scope: "all marketplaces, EUR"}}
}

func sheet() *reports.OrderSheet {
	u := reports.Units
	paid, due, share := at(5), at(17), u(150)
	shipped, arrived, again := at(6), at(8), at(13)
	return &reports.OrderSheet{
		Order: reports.OrderFacts{ID: "018cc251-f400-7000-8000-000000000001", Marketplace: 1, Reference: "a1", Buyer: "ann", Seller: "bob",
			Category: "toys", SellerTier: "gold", Jurisdiction: "DE", Method: "card", BuyerShare: &share, Currency: "USD", Policy: "standard version 1", State: "disputed", Amount: u(9850), Agreed: u(9850), Held: u(9000), Released: u(0), Refunded: u(1000),
			AgreedAt: at(4), PaidAt: &paid, Deadline: "rule_by", DeadlineAt: &due},
		Explanation: order.Explanation{Why: "USD 90.00 is held and frozen: the buyer disputes the order.", Until: "2024-01-17T12:00:00Z, rule_by",
			Next: "The marketplace rules.", Otherwise: "Nothing moves by itself."},
		Shipments: []reports.OrderShipment{
			{Number: 1, Kind: "goods", Amount: u(9000), Carrier: "DHL", Tracking: "D\x1b[2J1", ShippedAt: &shipped, DeliveredAt: &arrived, Scans: []reports.ShipmentScan{
				{At: at(7), Status: "in_transit", Location: "Leipzig,\nDE"}, {At: at(8), Status: "delivered", Tracking: "D2", Note: "at the door"}}},
			{Number: 2, Kind: "replacement", ChildOf: 1, ShippedAt: &again, Scans: []reports.ShipmentScan{}},
		},
		Timeline: []reports.OrderEvent{
			{Seq: 1, Event: "agree", By: "operator", EffectedAt: at(4), BookedAt: at(4), State: "agreed", Data: json.RawMessage(`{"goods":{"quantity":1}}`)},
			{Seq: 2, Event: "pay", By: "buyer", EffectedAt: at(5), BookedAt: at(6).Add(time.Nanosecond), State: "held", Held: u(10000)},
			{Seq: 10, Event: "dispute", By: "buyer", EffectedAt: at(9), BookedAt: at(9), State: "disputed", Held: u(9000)},
		},
		Escrow: []reports.EscrowLine{
			{TransferID: "018cc251-f400-7000-8000-000000000101", EffectedAt: at(5), BookedAt: at(6).Add(time.Nanosecond), Code: 201, Movement: "held",
				Against: "2000 buyer, ann", AccountID: "018cc251-f400-7000-8000-0000000007d0", Credit: u(10000), Balance: u(10000)},
			{TransferID: "018cc251-f400-7000-8000-000000000102", EffectedAt: at(7), BookedAt: at(7), Code: 301, Movement: "refunded to the buyer",
				Against: "2000 buyer, ann", AccountID: "018cc251-f400-7000-8000-0000000007d0", Debit: u(1000), Balance: u(9000)},
			{TransferID: "018cc251-f400-7000-8000-000000000103", EffectedAt: at(9), BookedAt: at(9), Code: 401, Movement: "frozen by a dispute",
				Against: "2110 dispute suspense", AccountID: "018cc251-f400-7000-8000-00000000083e", Frozen: u(9000), Balance: u(9000)},
		},
		Feedback: []reports.FeedbackLine{
			{Author: "buyer", Part: "feedback", By: "buyer", Rating: 2, Text: "late, and a \x1b[2Jscratch", At: at(11)},
			{Author: "buyer", Part: "reply", By: "seller", Text: "sorry", At: at(12)},
		},
		Notes:    3,
		Problems: []string{},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]reports.Sheet{
		"trial-balance": trialBalance(), "held-by-order": heldByOrder(), "orders": orderRows(), "empty": emptyReport(),
	} {
		for _, format := range []render.Format{render.Table, render.CSV, render.JSON} {
			golden(t, name+"."+extension(format), func(b *bytes.Buffer) error { return render.Write(b, format, r) })
		}
	}
	for _, format := range []render.Format{render.Table, render.JSON} {
		golden(t, "order."+extension(format), func(b *bytes.Buffer) error { return render.Order(b, format, sheet()) })
	}
}

// What was agreed with the order, at first and since, is said where it is not what
// the policy says.
func TestOrderAgreedAnew(t *testing.T) {
	s := sheet()
	to := reports.Units(9_000)
	s.Order.RepricedTo, s.Order.ConfirmWithin = &to, 14*24*60*60
	var b bytes.Buffer
	if err := render.Order(&b, render.Table, s); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "\n  price now   90.00\n  inspection  14 days from the delivery, as agreed\n") {
		t.Error(got)
	}
	b.Reset()
	if err := render.Order(&b, render.JSON, s); err != nil || !strings.Contains(b.String(), `"repriced_to": "9000"`) && !strings.Contains(b.String(), `"repriced_to": 9000`) {
		t.Error(err, b.String())
	}
}

// An order that was paid in another currency says how, with that currency's
// decimals.
func TestOrderPaidInAnotherCurrency(t *testing.T) {
	t.Parallel()
	s := sheet()
	s.Order.PaidIn = &order.FX{Currency: "KWD", Amount: 30_850, Rate: "3.25", Spread: 100}
	var b bytes.Buffer
	if err := render.Order(&b, render.Table, s); err != nil {
		t.Fatal(err)
	}
	want := "  paid        KWD 30.850, of which spread 0.100, at 3.25 " + s.Order.Currency + " for 1 KWD; refunds are in " + s.Order.Currency + "\n"
	if !strings.Contains(b.String(), want) {
		t.Errorf("want %q in\n%s", want, b.String())
	}
}

func extension(f render.Format) string {
	if f == render.Table {
		return "txt"
	}
	return string(f)
}

func golden(t *testing.T, name string, write func(*bytes.Buffer) error) {
	t.Helper()
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := write(b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("%s: written twice, it differs", name)
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, first.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), want) {
		t.Errorf("%s is not as expected (go test -update rewrites it):\n%s\nwant\n%s", file, first.Bytes(), want)
	}
}

// The sheet of an order that nothing was shipped of has no section for that.
func TestOrderWithoutShipments(t *testing.T) {
	s := sheet()
	for _, there := range []bool{true, false} {
		var b bytes.Buffer
		if err := render.Order(&b, render.Table, s); err != nil || strings.Contains(b.String(), "\nShipments") != there {
			t.Errorf("%v\n%s", err, b.String())
		}
		s.Shipments = nil
	}
}

// The JSON is one object with the documented keys, and its amounts are exact
// integers also beyond 2^53.
func TestJSONShape(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := render.Write(&b, render.JSON, trialBalance()); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(&b)
	d.UseNumber()
	d.DisallowUnknownFields()
	var got struct {
		Report          string      `json:"report"`
		AsOf            time.Time   `json:"as_of"`
		Basis           string      `json:"basis"`
		LedgerTimestamp json.Number `json:"ledger_timestamp"`
		Rows            []map[string]any
	}
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Report != "trial-balance" || !got.AsOf.Equal(at(20)) || got.Basis != "effective" || got.LedgerTimestamp != "1705752000000000001" {
		t.Errorf("head: %+v", got)
	}
	row := got.Rows[3]
	if len(got.Rows) != 5 || len(row) != 6 || row["debits"] != json.Number("9223372036854775808") || row["code"] != json.Number("2000") {
		t.Errorf("rows: %+v", got.Rows)
	}
}

// What others have written reaches a spreadsheet as it is and a terminal
// harmless.
func TestHostileText(t *testing.T) {
	t.Parallel()
	r := heldByOrder()
	var b bytes.Buffer
	if err := render.Write(&b, render.CSV, r); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(b.String(), "\r\n") {
		t.Error("RFC 4180 ends lines with CRLF")
	}
	records, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	// encoding/csv reads CRLF in a field as LF.
	if want := strings.ReplaceAll(r.Rows[0].Reference, "\r\n", "\n"); len(records) != 3 || records[0][7] != "reference" || records[1][7] != want {
		t.Errorf("CSV: %q", records)
	}
	b.Reset()
	if err := render.Write(&b, render.Table, r); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\r") {
		t.Errorf("control characters in a table: %q", b.String())
	}
}

func TestUnknownFormat(t *testing.T) {
	t.Parallel()
	if err := render.Write(&bytes.Buffer{}, "xml", trialBalance()); err == nil {
		t.Error("xml is no format")
	}
	if err := render.Order(&bytes.Buffer{}, render.CSV, sheet()); err == nil {
		t.Error("an order has no CSV")
	}
}
