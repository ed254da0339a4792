"""What a search will cost, and what it cannot do, before it begins. No Ray."""
