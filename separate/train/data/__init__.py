"""Training audio: cached recordings, mixing, phrases."""
