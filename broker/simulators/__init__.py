"""Peers we play ourselves: a RIS and a modality. They meet the broker only over the wire, with code of their own."""
