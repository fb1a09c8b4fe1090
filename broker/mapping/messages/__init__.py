"""Message readers: one file for each message type, bytes to requests."""
