"""Commands in the sentences of pages, in an order in which one project can run them.

Each has what a test types: the same, or the same with real names. "" stands for the same.
"""

from __future__ import annotations

# The project has version 1 as @champion, version 2 as @challenger, and nothing uncommitted.
COMMANDS = {
    "thaw params KEY": "thaw params unfreeze.lr",
    "thaw params unfreeze.epochs": "",
    "thaw params --schema": "thaw params --schema | cmp - params.schema.json",
    "thaw promote VERSION --dry-run": "thaw promote 2 --dry-run",
    "thaw report --compare A B": "thaw report --compare 1 2",
    'thaw promote --force --reason "..."': "",
    'thaw rollback --reason "..."': "",
    'thaw promote VERSION --force --reason "..."': 'thaw promote 2 --force --reason "..."',
    "thaw copy models:/A@champion B": "thaw copy models:/flowers@champion garden",
    "thaw promote --model B": "thaw promote --model garden",
    "thaw predict models:/MODEL@champion": (
        "thaw predict models:/flowers@champion IMAGES --out ../p.csv"
    ),
    "dvc status": "",
    "dvc commit --force warmup_head unfreeze fold_bn evaluate": "",
    "dvc checkout": "",
    "dvc repro prepare": "",
    "dvc exp run -S unfreeze.epochs=3": "",
    "dvc exp run -S unfreeze.depth=3 -S unfreeze.epochs=5": "",
    "dvc exp show --md": "",
    "git checkout params.yaml": "",
    "dvc exp apply NAME": "dvc exp apply $(dvc exp list --name-only | head -1)",
    "git add --all && git commit": "git add --all && git commit --message 'An experiment'",
    "dvc repro --single-item --force warmup_head": "",
    "dvc config cache.type hardlink,symlink": "",
    "dvc repro --single-item --force prepare": "",
    "git checkout COMMIT -- dvc.lock": "git checkout HEAD -- dvc.lock",
    "openssl genpkey -algorithm ed25519": "",
    "openssl rand -base64 32 | tr +/ -_": "",
    "thaw stage prepare": "",
    "thaw stage NAME": "thaw stage fold_bn",
    "thaw upgrade --dry-run": "",
    "thaw upgrade --keep": "",
    "thaw find-lr": "",
    "thaw search --trials 50": "thaw advise --apply; thaw search --trials 2",
    "... --workers 4": "thaw search --trials 4 --workers 2",
    "... --device auto": "thaw search --trials 5 --device auto --per-device 3",
    "... --study NAME": "thaw search --trials 1 --study other",
    "thaw search --show": "",
    "thaw search --apply": "",
    "thaw search --apply --trial 17": "thaw search --apply --trial 1",
    "thaw serve --port N": "thaw serve models:/flowers@champion --port 8000",
}
# What the tests themselves do with these words.
BY_TESTS = {
    "... --per-device 3": "with `--device auto`",
    "make help": "test_every_command_is_run.py",
    "accelerate config": "as `accelerate config default`, which asks nothing",
    "dvc add": "with the images in the project",
    "optuna-dashboard sqlite:///mlruns/search.db": "after the search",
    "thaw --install-completion": "tests/cli/test_app.py",
    "thaw repair": "in each copy of the project",
    "git config --global user.name NAME": "PageShell",
    "git add --all && git commit -m 'New project'": "the fixture",
    "thaw init DIR --images FOLDER": "the guide on shifted images",
    "thaw init PROJECT --images FOLDER": "the same",
    "thaw init NAME --images SOURCE": "the same",
    "thaw init --images ~/photos": "the same",
    "thaw init DIR": "the same",
    "thaw advise --apply": "the same",
    "git pull": "the blocks on servers",
    "dvc gc --cloud --all-commits": "the same",
    "dvc push": "the same",
}
