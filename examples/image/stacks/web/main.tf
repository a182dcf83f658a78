resource "democloud_network" "main" {
  name = "main"
  cidr = "10.0.0.0/16"
}

# Another image is another server: its successor is there, and answers, before it goes.
resource "democloud_server" "web" {
  count      = var.servers
  name       = "web-${count.index + 1}"
  network_id = democloud_network.main.id
  image      = var.image

  lifecycle {
    create_before_destroy = true
  }
}

resource "democloud_load_balancer" "web" {
  name        = "web"
  network_id  = democloud_network.main.id
  servers     = democloud_server.web[*].id
  health_path = "/healthz"
}
