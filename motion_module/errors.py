"""The errors a person reads: one sentence each, with the status an API client gets."""

from __future__ import annotations


def as_text(name: str) -> str:
    """What an answer can hold: bytes in file names that are not UTF-8 are lone surrogates, here written as \\udcff."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


class UserError(Exception):
    """Something in the request or in the person's files is wrong; the sentence says what to do.

    The WebUI's API answers with the *instance* attributes `status_code` and `detail` of an exception.
    """

    def __init__(self, sentence: str) -> None:
        sentence = as_text(sentence)
        super().__init__(sentence)
        self.status_code = 422
        self.detail = sentence


class ParamError(UserError):
    """A field has a wrong type or a value that is not allowed."""


class CheckpointError(UserError):
    """A file is not the motion module, or not the kind of it, that was expected."""


class HostError(Exception):
    """The extension or its host is at fault, not the person."""

    def __init__(self, sentence: str) -> None:
        sentence = as_text(sentence)
        super().__init__(sentence)
        self.status_code = 500
        self.detail = sentence
