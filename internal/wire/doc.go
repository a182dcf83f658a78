// Package wire holds the JSON types of the API: what people's clients and what
// runners say and hear. It has no behaviour. Fields are added, never renamed.
package wire
