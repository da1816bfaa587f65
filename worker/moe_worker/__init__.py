"""One supervisor per pod and one rank process per GPU: attention, experts and the rules by which they talk."""
