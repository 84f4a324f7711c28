package chart

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"escrowd/ledger"
)

// Currency is a currency of ISO 4217. Amounts are integers of its minor unit,
// 10^-Digits of the currency: cents for USD, yen for JPY, fils for KWD.
type Currency struct {
	Code      string // three letters: "USD"
	Number    uint16 // the standard's numeric code: 840
	Digits    uint8  // decimals of the minor unit: 2
	Name      string
	Withdrawn string // the first day, UTC, of nothing new in it: "2023-01-01"; "" while it is in use
	Successor string // what took its place, by code; "" while it is in use
}

var (
	currencyByCode   = make(map[string]Currency, len(currencies))
	currencyByNumber = make(map[uint16]Currency, len(currencies))
)

func init() {
	for _, c := range currencies {
		currencyByCode[c.Code] = c
		currencyByNumber[c.Number] = c
	}
}

// Currencies are all currencies in order of code. The slice is the caller's.
func Currencies() []Currency { return slices.Clone(currencies) }

// ByCode finds a currency, also a withdrawn one, by its three capital letters.
func ByCode(code string) (Currency, bool) {
	c, ok := currencyByCode[code]
	return c, ok
}

// Find is ByCode with an error that says, for people, why there is no such
// currency: a code can be the standard's and still name nothing to count.
func Find(code string) (Currency, error) {
	if c, ok := currencyByCode[code]; ok {
		return c, nil
	}
	if why, ok := uncounted[code]; ok {
		return Currency{}, errors.New(why)
	}
	return Currency{}, errors.New("not an ISO 4217 currency")
}

// Open says why nothing new is agreed or received in the currency at a moment:
// nil before the day of its withdrawal. What was agreed before goes on.
func (c Currency) Open(at time.Time) error {
	if c.Withdrawn == "" || at.UTC().Format(time.DateOnly) < c.Withdrawn {
		return nil
	}
	return fmt.Errorf("%s was withdrawn on %s: %s took its place", c.Code, c.Withdrawn, c.Successor)
}

// ByNumber finds a currency, also a withdrawn one, by its numeric code.
func ByNumber(number uint16) (Currency, bool) {
	c, ok := currencyByNumber[number]
	return c, ok
}

func (c Currency) String() string { return c.Code }

// Format writes an amount of minor units as a decimal number with all the
// currency's digits and nothing else: 123456 is "1234.56" in USD, "123456" in
// JPY, "123.456" in KWD. Parse reads it back.
func (c Currency) Format(amount ledger.Amount) string {
	s := amount.String()
	d := int(c.Digits)
	if d == 0 {
		return s
	}
	if len(s) <= d {
		s = strings.Repeat("0", d-len(s)+1) + s
	}
	return s[:len(s)-d] + "." + s[len(s)-d:]
}

// Minor is Format of an amount in 64 bits, with a minus before one below zero.
func (c Currency) Minor(amount int64) string {
	if amount < 0 {
		return "-" + c.Format(ledger.U64(-uint64(amount)))
	}
	return c.Format(ledger.U64(uint64(amount)))
}

// Parse reads a decimal number as Format writes it, into minor units. It is
// exact, and refuses whatever might hide a mistake: another number of decimals
// than the currency has (1.5 and 1.500 are not USD), a sign, an exponent,
// spaces, a thousands separator, leading zeros.
func (c Currency) Parse(decimal string) (ledger.Amount, error) {
	whole, fraction, point := strings.Cut(decimal, ".")
	switch {
	case whole == "" || !digits(whole) || !digits(fraction) || point && fraction == "":
		return ledger.Amount{}, fmt.Errorf("chart: %q is not an amount: want digits, like %s", decimal, c.Format(ledger.U64(123456)))
	case len(whole) > 1 && whole[0] == '0':
		return ledger.Amount{}, fmt.Errorf("chart: amount %q has leading zeros", decimal)
	case len(fraction) != int(c.Digits):
		return ledger.Amount{}, fmt.Errorf("chart: amount %q has %d decimals, %s has %d: want it like %s",
			decimal, len(fraction), c.Code, c.Digits, c.Format(ledger.U64(123456)))
	}
	// Zeros before the first other digit ("0.05") are no part of the number.
	minor := strings.TrimLeft(whole+fraction, "0")
	if minor == "" {
		minor = "0"
	}
	a, err := ledger.ParseUint128(minor)
	if err != nil {
		return ledger.Amount{}, fmt.Errorf("chart: amount %q is larger than 128 bits of minor units", decimal)
	}
	return a, nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// numbersPerMarketplace leaves room for every three-digit ISO number.
const numbersPerMarketplace = 1000

// Ledger is the number of the ledger of one currency of one marketplace:
// marketplace*1000 + the currency's ISO number, so 1840 is marketplace 1 in
// USD. The marketplace's number is at least 1; an error says that it is 0, too
// large for 32 bits (the last whole one is 4294966), or that c is no ISO
// currency.
func Ledger(marketplace uint32, c Currency) (uint32, error) {
	if known, ok := ByNumber(c.Number); !ok || known != c {
		return 0, fmt.Errorf("chart: no such currency: %q, number %d", c.Code, c.Number)
	}
	if marketplace == 0 {
		return 0, fmt.Errorf("chart: marketplace 0: numbers start at 1")
	}
	l := uint64(marketplace)*numbersPerMarketplace + uint64(c.Number)
	if l > 1<<32-1 {
		return 0, fmt.Errorf("chart: marketplace %d is too large: its %s ledger would not fit in 32 bits", marketplace, c.Code)
	}
	return uint32(l), nil
}

// SplitLedger is the inverse of Ledger; ok is false if no marketplace and
// currency have the ledger l.
func SplitLedger(l uint32) (marketplace uint32, c Currency, ok bool) {
	marketplace = l / numbersPerMarketplace
	c, ok = ByNumber(uint16(l % numbersPerMarketplace))
	if !ok || marketplace == 0 {
		return 0, Currency{}, false
	}
	return marketplace, c, true
}
