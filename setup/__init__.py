"""Gets a bare machine ready with the standard library alone: `python3 -m setup [setup|demo|test]`."""
