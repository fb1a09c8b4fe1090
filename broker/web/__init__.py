"""HTTP: health today; translates in, delegates, translates out."""
