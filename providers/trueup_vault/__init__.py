"""Secrets that are kept in HashiCorp Vault or OpenBao."""
