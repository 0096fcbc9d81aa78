"""The errors a person reads: one sentence each, with the status an API client gets."""

from __future__ import annotations

from typing import ClassVar

from motion_module.wording import for_client, with_full_stop, with_name


def as_text(name: str) -> str:
    """What an answer can hold: bytes in file names that are not UTF-8 are lone surrogates, here written as \\udcff."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


class SaidError(Exception):
    """An error that is one sentence for whoever asked.

    The WebUI's API answers with the *instance* attributes `status_code` and `detail` of an exception.

    Args:
        sentence: without our name in front and without a full stop; both are added here. It names fields by
            `motion_module.wording.mention`, so that people on the page can be told their labels.
        quoted: the sentence ends in the words of another program, which stay as they are.
    """

    __slots__ = ("quoted",)  # among the instance attributes the API would answer with it
    status: ClassVar[int]

    def __init__(self, sentence: str, *, quoted: bool = False) -> None:
        sentence = as_text(sentence)
        Exception.__init__(self, sentence)  # the next in line may be an HTTP exception, which wants a status
        self.status_code = self.status
        self.quoted = quoted
        self.detail = for_client(self.whole)

    def __str__(self) -> str:
        return self.detail

    def add(self, more: str) -> None:
        """Something else to be said of it, in brackets."""
        self.args = (f"{self.sentence} ({more})",)
        self.detail = f"{self.detail.removesuffix('.')} ({more})" + "." * self.detail.endswith(".")

    @property
    def whole(self) -> str:
        """The sentence from our name to its end, with its mentions."""
        return with_name(self.sentence if self.quoted else with_full_stop(self.sentence))

    @property
    def sentence(self) -> str:
        """The sentence with its mentions, without our name and full stop, for whoever puts it into another one."""
        return str(self.args[0])


class UserError(SaidError):
    """Something in the request or in the person's files is wrong; the sentence says what to do."""

    status = 422


class ParamError(UserError):
    """A field has a wrong type or a value that is not allowed."""


class CheckpointError(UserError):
    """A file is not the motion module, or not the kind of it, that was expected."""


class HostError(SaidError):
    """The extension or its host is at fault, not the person."""

    status = 500
