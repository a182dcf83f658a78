variable "cloud" {
  description = "URL of the cloud."
  type        = string
}

variable "environment" {
  description = "Environment that this is for; each has its own tenant in the cloud."
  type        = string
}

variable "network_id" {
  description = "Network that the servers belong to."
  type        = string
}

variable "database_url" {
  description = "Where the orders are."
  type        = string
}

variable "servers" {
  description = "How many servers share the work."
  type        = number

  validation {
    condition     = var.servers >= 1
    error_message = "The shop needs at least one server."
  }
}

variable "size" {
  description = "Size of each server."
  type        = string
}

variable "image" {
  description = "What a server is made from. Another image is another server."
  type        = string
  default     = "shop-web-1"
}
