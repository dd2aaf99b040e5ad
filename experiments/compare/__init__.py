"""Two implementations held against each other."""
