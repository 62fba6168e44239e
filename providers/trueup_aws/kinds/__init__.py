"""One file per kind; `tagged` holds what they share: names, ownership tags, and the course of each call."""
