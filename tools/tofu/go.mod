// The engine, built from source where no release can be downloaded. It is a module of
// its own because OpenTofu replaces one of its dependencies, which "go install" refuses.
module github.com/terrace-cd/terrace/tools/tofu

go 1.26.6

require github.com/opentofu/opentofu v1.12.6

replace github.com/hashicorp/hcl/v2 v2.20.1 => github.com/opentofu/hcl/v2 v2.20.2-0.20251021132045-587d123c2828
