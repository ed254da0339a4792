"""One self-contained HTML page about a study, read from its folder alone."""
