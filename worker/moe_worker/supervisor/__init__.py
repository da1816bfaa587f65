"""One pod's supervisor: follows its stage, keeps its ranks alive, reports what it sees. No torch, no data path."""
