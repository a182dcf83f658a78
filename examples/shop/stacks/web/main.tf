resource "democloud_server" "web" {
  count      = var.servers
  name       = "web-${count.index + 1}"
  network_id = var.network_id
  image      = var.image
  size       = var.size

  lifecycle {
    create_before_destroy = true
  }
}

resource "democloud_load_balancer" "web" {
  name        = "web"
  network_id  = var.network_id
  servers     = democloud_server.web[*].id
  health_path = "/healthz"
}

resource "democloud_dns_record" "shop" {
  name  = "shop.${var.environment}.example"
  value = democloud_load_balancer.web.address
}
