"""`kubectl-moe`: shows plans without a cluster, and the state of deployments with one. Changes nothing."""
