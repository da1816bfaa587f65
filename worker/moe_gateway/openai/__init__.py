"""OpenAI's HTTP API: what is read, what is answered, and the routes. Knows nothing of heads."""
