// A data source that runs programs, for the tests of what a hostile branch finds out. Newer
// versions are not served by every proxy.
module github.com/terrace-cd/terrace/tools/external

go 1.16

require github.com/terraform-providers/terraform-provider-external v1.2.0
