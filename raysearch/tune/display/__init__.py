"""What a person sees of a search: live table, lines, JSON lines, summary. No Ray."""
