"""The DICOM language: datasets that anybody may have sent, read from bytes within bounds; no sockets, no rows."""
