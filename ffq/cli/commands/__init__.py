"""The subcommands, one file each: parse, call, print. Heavy imports happen when one runs."""
