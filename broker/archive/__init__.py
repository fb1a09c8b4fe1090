"""Objects: the files they lie in, and what their headers say; no database."""
