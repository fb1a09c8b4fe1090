"""All tests; `kit` is what they share."""
