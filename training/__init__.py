"""Trains the small model that ships in models/ (`python -m training`): text, tokenizer, weights and card."""
