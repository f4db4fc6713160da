"""Beholder's extras, which pyproject.toml lists: `install` names the command that adds one."""


def install(extra: str) -> str:
    """For messages. Beholder is on no index; without -e, a copy would replace its folder."""
    return f"`pip install -e '.[{extra}]'` in Beholder's folder"
