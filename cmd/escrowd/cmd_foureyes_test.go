package main

import (
	"regexp"
	"testing"
)

// A marketplace has its policies proposed by one person and approved by another.
func TestPolicyByFourEyes(t *testing.T) {
	dsn, _ := smallBooks(t)
	at := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }

	at("policy", "add", "shop", "express").check(t, exitOK, "policy express version 1", "")
	at("marketplace", "set", "shop", "--four-eyes-policies", "on").check(t, exitOK, "proposed by one person and approved by another", "")
	at("policy", "add", "shop", "express", "--as", "standard").check(t, exitUsage, "", "four-eyes")
	r := at("policy", "propose", "shop", "express", "--as", "standard", "--person", "eve")
	r.check(t, exitOK, "policy standard is proposed", "")
	m := regexp.MustCompile(`entry (\S+)\ndigest (\S+)`).FindStringSubmatch(r.stdout)
	if m == nil {
		t.Fatal(r.stdout)
	}
	at("entry", "show", "shop", m[1]).check(t, exitOK, `"name":"standard"`, "")
	at("entry", "do", "shop", m[1], "approve", "--person", "eve", "--digest", m[2]).check(t, exitCheckFailed, "", "four-eyes")
	at("entry", "do", "shop", m[1], "approve", "--person", "max", "--digest", m[2]).check(t, exitOK, "policy "+m[1]+": done", "")
	at("entry", "show", "shop", m[1]).check(t, exitOK, "policy standard version 2", "")
	at("policy", "list", "shop", "--format", "table").check(t, exitOK, "standard  2", "")
	at("policy", "propose", "shop", "express", "--as", "No").check(t, exitUsage, "", "--person")
	at("marketplace", "set", "shop", "--four-eyes-policies", "off").check(t, exitOK, "added by one person", "")
	at("policy", "add", "shop", "alibaba", "--as", "standard").check(t, exitOK, "version 3", "")
}
