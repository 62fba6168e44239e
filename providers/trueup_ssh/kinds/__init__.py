"""One file per kind; each pairs a few pure methods with the shell functions of the same name in `scripts`."""
