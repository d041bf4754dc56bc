"""The work side: queue, worker processes, result files."""
