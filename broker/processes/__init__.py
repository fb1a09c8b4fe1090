"""The DICOM door built from the settings: inside this process, or in processes of its own that share its ports."""
