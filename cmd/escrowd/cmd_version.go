package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct {
	Format string `enum:"text,json" default:"text" help:"Form of the answer: ${enum}."`
}

type versionInfo struct {
	Version           string `json:"version"`
	Commit            string `json:"commit"`
	Modified          bool   `json:"modified"`
	Go                string `json:"go"`
	Platform          string `json:"platform"`
	TigerBeetleClient string `json:"tigerbeetle_client"`
	Schema            int64  `json:"schema"`
}

// Run prints what a bug report should say.
func (c *versionCmd) Run(g *Globals) error {
	v, err := readVersion()
	if err != nil {
		return err
	}
	if c.Format == "json" {
		enc := json.NewEncoder(g.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	commit := v.Commit
	if v.Modified {
		commit += " (with changes)"
	}
	_, err = fmt.Fprintf(g.Stdout, "escrowd %s\ncommit %s\nbuilt with %s for %s\nTigerBeetle client %s\ndatabase schema %d\n",
		v.Version, commit, v.Go, v.Platform, v.TigerBeetleClient, v.Schema)
	return err
}

func readVersion() (versionInfo, error) {
	v := versionInfo{
		Version: "unknown", Commit: "unknown", Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, TigerBeetleClient: "none: this build keeps its books in Postgres only",
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = info.Main.Version
		for _, d := range info.Deps {
			if d.Path == "github.com/tigerbeetle/tigerbeetle-go" {
				v.TigerBeetleClient = d.Version
			}
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	var err error
	v.Schema, err = latestMigration()
	return v, err
}
