"""The names of the stages, in the order in which they run."""

STAGES = ("prepare", "warmup_head", "unfreeze", "fold_bn", "evaluate")
