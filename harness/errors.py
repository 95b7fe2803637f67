"""The errors that a user can act on."""


class UserError(Exception):
    """The input is wrong. The message is one line: what, where (file, key, value) and what is allowed.

    The command line prints it and exits with code 2, without a traceback.
    """


class CellError(Exception):
    """A cell cannot give a number that can be trusted: it ends with status `error` and this message as reason."""


def nearest(word: str, allowed: list[str]) -> str:
    """A hint for a misspelt name: `, did you mean 'x'?` and what is allowed."""
    import difflib

    close = difflib.get_close_matches(word, allowed, n=1)
    hint = f", did you mean '{close[0]}'?" if close else ""
    return f"{hint} (allowed: {', '.join(allowed)})"
