"""The DICOM language: datasets from any sender, read from bytes within bounds; no sockets, no rows."""
