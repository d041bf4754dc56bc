"""The command line: options, progress, tables; one module a command."""
