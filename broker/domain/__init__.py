"""Rules: frozen values and pure functions; imports nothing of the house but errors."""
