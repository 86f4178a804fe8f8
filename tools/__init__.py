"""Checks of this repository that no standard linter offers."""
