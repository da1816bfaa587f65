"""The newcomer's tour (`python -m demo`), and the load and the looking-on that the end-to-end tests share with it."""
