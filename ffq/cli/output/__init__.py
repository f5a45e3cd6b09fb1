"""How the command line shows things: results in several formats, aligned tables, styles."""
