"""What is true of a stage and of a MoEDeployment, in the words of their status. Pure; writes nothing."""
