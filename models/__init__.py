"""Numbers in, numbers out: networks, transforms, losses, checkpoints with their cards."""
