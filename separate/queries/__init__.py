"""Queries: what the user asks for, as vectors in the separator's query space."""
