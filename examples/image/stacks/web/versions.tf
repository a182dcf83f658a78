terraform {
  required_providers {
    democloud = {
      source  = "terrace-cd/democloud"
      version = "1.0.0"
    }
  }
}

provider "democloud" {
  endpoint = var.cloud
  tenant   = var.environment
}
