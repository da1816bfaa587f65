"""Random failures of every kind under load, and what must hold after hundreds of them."""
