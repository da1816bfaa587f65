"""The commands of `moe-local`, one module per group."""
