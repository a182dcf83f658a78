output "url" {
  description = "Where the shop is."
  value       = democloud_load_balancer.web.url
}

output "name" {
  description = "What the shop is called in the DNS."
  value       = democloud_dns_record.shop.name
}

output "hosts" {
  description = "The servers as Ansible reaches them: here, folders on the same machine."
  value = {
    for server in democloud_server.web : server.name => {
      ansible_connection = "local"
      root               = server.root
      address            = server.address
    }
  }
}
