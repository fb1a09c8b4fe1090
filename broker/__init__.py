"""mwl-broker: HL7 v2 orders in, DICOM Modality Worklist out, performed steps and images back."""

__version__ = "0.1.0"
