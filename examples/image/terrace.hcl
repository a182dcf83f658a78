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
  }
}

environment "production" {
  after = ["dev"]
  variables = {
    cloud       = "http://127.0.0.1:8790"
    environment = environment.name
    servers     = 2
  }
}

# Built once, with the first release that needs it. Every environment gets the same.
image "web" {
  command   = ["python3", "images/build.py", "web"]
  reads     = ["images/build.py", "images/web/**"]
  variables = { CLOUD = "http://127.0.0.1:8790" }
  within    = "10m"
}

stack "web" {
  immutable     = ["democloud_server.*"]
  zero_downtime = true

  inputs = { image = image.web.id }

  verify "http" {
    url    = "${output.url}/"
    status = 200
    within = "1m"
  }
}
