"""The error of an image that cannot be used, with what can be done about it."""

from __future__ import annotations


class DecodeError(Exception):
    """The bytes are not a usable image.

    ``reason`` says why. ``remedy`` is what to do with the image, and ``setting`` the parameter to
    change instead, which helps only before a model is trained; both may be empty. The text is for
    the users of a finished model: ``reason`` and ``remedy``.
    """

    def __init__(self, reason: str, remedy: str = "", setting: str = "") -> None:
        super().__init__(reason, remedy, setting)
        self.reason = reason
        self.remedy = remedy
        self.setting = setting

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}" if self.remedy else self.reason

    @property
    def text_for_training(self) -> str:
        """Return the text for users who can still change parameters."""
        remedies = [remedy for remedy in (self.remedy, self.setting) if remedy]
        return f"{self.reason}: {', or '.join(remedies)}" if remedies else self.reason

    def of_image(self, place: int) -> DecodeError:
        """Return this error with the position of the image in its list, from 0."""
        return DecodeError(f"image {place}: {self.reason}", self.remedy, self.setting)
