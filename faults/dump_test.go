package faults

import (
	"bytes"
	"database/sql"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver of database/sql
)

// dump returns every row of a PostgreSQL database as text.
func dump(w *world, url string) []byte {
	w.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = db.Close() }() // it was read only
	strings := func(query string) (all []string) {
		rows, err := db.QueryContext(w.Context(), query)
		if err != nil {
			w.Fatal(err)
		}
		defer func() { _ = rows.Close() }() // Err tells
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				w.Fatal(err)
			}
			all = append(all, text)
		}
		if err := rows.Err(); err != nil {
			w.Fatal(err)
		}
		return all
	}
	var out bytes.Buffer
	for _, table := range strings("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema()") {
		for _, row := range strings(fmt.Sprintf("SELECT t::text FROM %s t", table)) {
			_, _ = out.WriteString(row + "\n")
		}
	}
	return out.Bytes()
}
