"""Videos in and out: probing, windows, decoding in a process of its own, writing, and scenes with known motion."""
