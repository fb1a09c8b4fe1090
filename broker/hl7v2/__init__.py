"""The HL7 version 2 language: bytes and values, no sockets."""
