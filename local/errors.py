"""The one error a person at the prompt is meant to read."""


class StackError(RuntimeError):
    """The practice stack cannot do what was asked; the message is a sentence that says why and what to do."""
