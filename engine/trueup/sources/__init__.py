"""Where stacks are read from; the only user of GitPython."""
