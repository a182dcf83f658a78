output "url" {
  description = "Where the site is."
  value       = democloud_load_balancer.web.url
}

output "hosts" {
  description = "The servers as Ansible reaches them: here, folders on the same machine."
  value       = local.hosts
}
