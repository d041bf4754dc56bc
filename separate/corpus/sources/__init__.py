"""Recordings from elsewhere: catalogue, licences, conversion to cached arrays."""
