"""Training of the embedded query net; `python -m separate.train.query_net`."""
