"""The OpenAI-compatible front of one MoEDeployment, stateless but for the streams it holds."""
