"""Clients that come and go for minutes before ranks that are killed: what must not go wrong meanwhile."""
