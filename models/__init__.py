"""Networks, transforms, losses, and checkpoints with their cards: tensors in, tensors out."""
