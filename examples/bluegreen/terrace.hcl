project "site" {
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

# A small share of the users. What goes wrong here goes no further.
environment "canary" {
  after = ["dev"]
  bake  = "5s"
  variables = {
    cloud       = "http://127.0.0.1:8790"
    environment = environment.name
    servers     = 1
    size        = "small"
  }
}

environment "production" {
  after = ["canary"]
  variables = {
    cloud       = "http://127.0.0.1:8790"
    environment = environment.name
    servers     = 2
    size        = "small"
  }
}

stack "web" {
  immutable     = ["democloud_server.*"]
  zero_downtime = true

  ansible {
    playbook  = "ansible/web.yml"
    inventory = { web = output.hosts }
    variables = { environment_name = environment.name }
  }

  verify "http" {
    url    = "${output.url}/"
    status = 200
    within = "1m"
  }
}
