"""The HTTP side: server, routes, sessions, access."""
