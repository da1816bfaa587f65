"""Measurements of a deployment on the embedded cluster; see README.md here for how to read them."""
