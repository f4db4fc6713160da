"""`make audit`: are there known vulnerabilities in what is installed here? Under a minute.

Exit 1 where there are; 0 with a notice where nobody could be asked, so that being offline fails no
build. What is accepted stands in ACCEPTED, with the reason.
"""

import json
import subprocess
import sys
from typing import Any

TIMEOUT_S = 50
ACCEPTED: dict[str, str] = {}  # a vulnerability's id: why it does not matter here
COMMAND = ("pip-audit", "--format", "json", "--progress-spinner", "off", "--timeout", "5")
_NOT_ASKED = "audit: not done"


def main(command: tuple[str, ...] = COMMAND, timeout_s: float = TIMEOUT_S) -> int:
    """Ask, and say on one line each what was found; the exit code."""
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        rows = json.loads(ended.stdout)["dependencies"]
    except FileNotFoundError:
        return _notice("pip-audit is not installed: pip install -e '.[dev]'")
    except subprocess.TimeoutExpired:
        return _notice(f"no answer within {timeout_s:g} s")
    except (ValueError, KeyError, TypeError):
        lines = ended.stderr.strip().splitlines()
        return _notice(lines[-1][:200] if lines else "no answer")
    return _report([row for row in rows if "skip_reason" not in row], len(rows))


def _report(asked: list[dict[str, Any]], installed: int) -> int:
    if not asked:
        return _notice("the index knows none of the packages here")
    found = [
        f"{row['name']} {row['version']}: {one['id']}, fixed in "
        f"{', '.join(one.get('fix_versions') or ['no version yet'])}"
        for row in asked
        for one in row.get("vulns", [])
        if one["id"] not in ACCEPTED and not ACCEPTED.keys() & set(one.get("aliases", []))
    ]
    for line in found:
        print(f"audit: {line}")
    print(f"audit: {len(found)} known vulnerabilities in {len(asked)} of {installed} packages")
    return 1 if found else 0


def _notice(reason: str) -> int:
    print(f"{_NOT_ASKED}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:]) or COMMAND))
