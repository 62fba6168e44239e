"""Secrets that are kept in AWS: one file per service, and how both are reached."""
