"""One token through 16 stages of 16 ranks, beside the same messages with nothing computed."""
