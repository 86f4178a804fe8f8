"""The sentence that says why a fine-tuned model was kept or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def comparison_text(found: Mapping[str, Any]) -> str:
    """Return both validation losses, and whether the second is lower by as much as it must be.

    ``found`` is the entry ``fine_tuning`` of the report of ``unfreeze``. Those of earlier versions
    have no ``needed_gain``.
    """
    losses = f"validation loss {found['head_log_loss']:.4f} (head alone) to {found['log_loss']:.4f}"
    gain, error = -found["difference"], found["difference_error"]
    if gain <= 0:
        return f"{losses}: it did not fall"
    text = f"{losses}: it fell by {gain:.4f}"
    if error is not None:
        text += f" (standard error {error:.4f})"
    if "needed_gain" not in found:
        return text
    needed = found["needed_gain"]
    if needed is None:
        return f"{text}, but with one validation image no difference is certain"
    amount = "one standard error" if needed == error else "a hundredth of the loss"
    word = "and" if found["is_kept"] else "but"
    return f"{text}, {word} more than {needed:.4f} is needed ({amount})"
