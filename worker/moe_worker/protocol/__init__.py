"""The rules of the data path as plain state machines: no I/O, no torch, and no clock but the `now` they are given."""
