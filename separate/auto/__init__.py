"""Separation without a query: find the sources of a recording and separate each."""
