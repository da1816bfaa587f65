"""How long streams wait when something dies, where that time goes, and what the same costs a group that restarts."""
