"""What should exist, as the JSON that the API server gets. Pure: values in, objects out."""
