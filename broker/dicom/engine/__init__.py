"""The accepting side of the DICOM upper layer: PDUs, the acceptor's states, and one association in its thread."""
