"""The DICOM door: services that know a Request and yield Replies; the engine under them can change."""
