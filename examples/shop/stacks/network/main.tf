resource "democloud_network" "main" {
  name = "shop-${var.environment}"
  cidr = "10.0.0.0/16"
}

output "id" {
  value = democloud_network.main.id
}
