"""Where stacks are read from: a directory, or one commit of a Git repository. `open.open_tree` picks."""
