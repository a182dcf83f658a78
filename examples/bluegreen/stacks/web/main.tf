resource "democloud_network" "main" {
  name = "main"
  cidr = "10.0.0.0/16"
}

resource "democloud_server" "web" {
  count      = var.servers
  name       = "web-${count.index + 1}"
  network_id = democloud_network.main.id
  image      = var.image
  size       = var.size

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  hosts = {
    for server in democloud_server.web : server.name => {
      ansible_connection = "local"
      root               = server.root
      address            = server.address
    }
  }
}

# Stands between new servers and the load balancer: it is made anew with the servers, and
# made only when Ansible has them ready. The old ones go last of all, since the load
# balancer, which depends on this, depends on them.
resource "terraform_data" "ready" {
  triggers_replace = democloud_server.web[*].id
  input            = democloud_server.web[*].id

  provisioner "local-exec" {
    command     = "terrace provision"
    environment = { TERRACE_OUTPUTS = jsonencode({ hosts = local.hosts }) }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "democloud_load_balancer" "web" {
  name        = "web"
  network_id  = democloud_network.main.id
  servers     = terraform_data.ready.output
  health_path = "/healthz"
}
