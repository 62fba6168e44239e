"""The `ssh` provider: files, directories, packages and services of Debian hosts, without an agent on them."""
