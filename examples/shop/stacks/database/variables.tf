variable "cloud" {
  description = "URL of the cloud."
  type        = string
}

variable "environment" {
  description = "Environment that this is for; each has its own tenant in the cloud."
  type        = string
}

variable "size" {
  description = "Size of the database."
  type        = string
}
