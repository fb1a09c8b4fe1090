"""The HL7 door: transport, journal and answer; what the fields mean is told by `mapping`."""
