// Package deploy carries what an installation needs beside the binary. The
// database's history is embedded, so that a binary can never meet a database
// of its own version with the wrong migrations at hand.
package deploy

import "embed"

// Migrations is the one numbered history of the database, for goose (dialect
// postgres), under "migrations/". Names in it are unqualified: the connection's
// search_path picks the schema. A migration that has been released never
// changes; a mistake is mended by the next one.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Policies are the policy documents that come with escrowd, under
// "policies/NAME.yaml", for a marketplace to start from. Their durations are
// those of public help pages.
//
//go:embed policies/*.yaml
var Policies embed.FS
