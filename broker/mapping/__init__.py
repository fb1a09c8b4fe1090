"""Rows and messages: HL7 to requests, and values to the bytes of a worklist answer."""
