"""What to do about the difference between what is and what should be. Pure: a snapshot in, a decision out."""
