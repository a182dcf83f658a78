variable "cloud" {
  description = "URL of the cloud."
  type        = string
}

variable "environment" {
  description = "Environment that this is for; each has its own tenant in the cloud."
  type        = string
}

variable "servers" {
  description = "How many servers share the work."
  type        = number
}

variable "image" {
  description = "What a server is made from. Another image is another server."
  type        = string
}
