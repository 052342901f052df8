// Makes a vulnerability database in which Debian 12's bash has one, as Trivy downloads it: database FOLDER
package main

import (
	"log"
	"os"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
	"go.etcd.io/bbolt"
)

const (
	id     = "CVE-2099-0001"
	source = "debian 12"
)

func main() {
	folder := os.Args[1]
	if err := db.Init(folder); err != nil {
		log.Fatal(err)
	}
	if err := (db.Config{}).BatchUpdate(fill); err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}
	now := time.Now().UTC()
	about := metadata.Metadata{Version: db.SchemaVersion, UpdatedAt: now, NextUpdate: now.AddDate(1, 0, 0)}
	if err := metadata.NewClient(folder).Update(about); err != nil {
		log.Fatal(err)
	}
}

func fill(tx *bbolt.Tx) error {
	made := db.Config{}
	about := types.DataSource{ID: "debian", Name: "Debian Security Tracker", URL: "https://example.com"}
	if err := made.PutDataSource(tx, source, about); err != nil {
		return err
	}
	if err := made.PutAdvisory(tx, []string{source, "bash"}, id, types.Advisory{FixedVersion: "99.0-1"}); err != nil {
		return err
	}
	described := types.Vulnerability{Title: "a shell that does as it is told", Severity: "CRITICAL"}
	return made.PutVulnerability(tx, id, described)
}
