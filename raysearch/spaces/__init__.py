"""The command that lists the included search spaces and ensemble recipes."""
