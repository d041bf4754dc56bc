"""Notes to sound: sampled instruments, drum kits, synthesisers, voices."""
