"""A rule of ours said no. ``code`` is stable, ``detail`` says what to do; callcenter.api turns them into problems."""


class QueueError(Exception):
    """``status`` is the HTTP meaning: 400 wrong words, 403 not allowed, 404 not there, 409 not now."""

    status = 409

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class NotAllowed(QueueError):
    status = 403


class NotThere(QueueError):
    status = 404


class WrongWords(QueueError):
    status = 400
