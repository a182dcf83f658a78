project "shop" {
  engine         = "tofu"
  engine_version = ">= 1.8"
  stacks         = ["stacks/*"]
}

environment "dev" {
  variables = {
    cloud       = "http://127.0.0.1:8790"
    environment = environment.name
    servers     = 1
    size        = "small"
  }
}

environment "staging" {
  after = ["dev"]
  bake  = "3s"
  variables = {
    cloud       = "http://127.0.0.1:8790"
    environment = environment.name
    servers     = 2
    size        = "small"
  }
}

environment "production" {
  after = ["staging"]
  variables = {
    cloud       = "http://127.0.0.1:8790"
    environment = environment.name
    servers     = 3
    size        = "large"
  }
}

stack "database" {
  stateful = ["democloud_database.*"]
}

stack "web" {
  inputs = {
    network_id   = stack.network.id
    database_url = stack.database.url
  }

  immutable = ["democloud_server.*"]

  ansible {
    playbook  = "ansible/web.yml"
    inventory = { web = output.hosts }
    variables = {
      environment_name = environment.name
      database_url     = stack.database.url
    }
  }

  verify "http" {
    url    = "${output.url}/"
    status = 200
    within = "1m"
  }
}
