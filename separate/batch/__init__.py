"""Many files: which are to be done, on which processes, and the record of what was done."""
