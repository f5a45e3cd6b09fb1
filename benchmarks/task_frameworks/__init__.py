"""One module per task framework: run as a program with a count, each prints tasks per second."""
