output "url" {
  description = "Where the site is."
  value       = democloud_load_balancer.web.url
}

output "image" {
  description = "What its servers are made from."
  value       = var.image
}
