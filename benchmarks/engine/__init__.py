"""One process of the engine against its peers: same weights, one thread, in turns."""
