"""The names of the stages, in the order in which they run.

Every training stage writes a model below ``models/``, and a history and a report below
``reports/``. ``evaluate`` scores the deployment form that the last one writes.
"""

TRAINING_STAGES = ("warmup_head", "unfreeze", "fold_bn")
STAGES = ("prepare", *TRAINING_STAGES, "evaluate")
