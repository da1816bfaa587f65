"""The families of checkpoints that are computed here, one file each; their config.json and tensors as transformers has
them.
"""
