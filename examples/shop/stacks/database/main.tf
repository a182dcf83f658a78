resource "democloud_database" "orders" {
  name = "orders"
  size = var.size
}

output "url" {
  value = democloud_database.orders.url
}

output "password" {
  value     = democloud_database.orders.password
  sensitive = true
}
