"""Songs as notes: harmony, parts, drums, arrangement."""
