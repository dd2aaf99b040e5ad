"""One file per experiment; the file name is the experiment's name."""
