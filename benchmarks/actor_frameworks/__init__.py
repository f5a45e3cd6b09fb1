"""One module per actor framework: run as a program, each prints its figures as one JSON line."""
