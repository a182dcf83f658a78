package store

// Shown is a database URL as it may be shown and logged: without its password.
func Shown(databaseURL string) string {
	if isPostgres(databaseURL) {
		return redacted(databaseURL)
	}
	return databaseURL
}
