"""What drawing needs besides: `require_drawing`, to be asked before anything is imported."""

from importlib.util import find_spec

from beholder.errors import NotInstalled
from beholder.extras import install

_PACKAGES = ("matplotlib", "jinja2")


def require_drawing() -> None:
    """Raises NotInstalled with the way out, where a package for reports is missing."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise NotInstalled(f"a report needs {' and '.join(missing)}: {install('report')}.")
