"""Messages between gateways, heads and ranks, their bytes, and the handshake. No torch, no sockets."""
