"""Prompts: their grammar, their timeline, their tokens."""
