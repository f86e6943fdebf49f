"""`python -m tests.audit`: fails when pip-audit's database knows of a hole in a version that constraints.txt pins.

Where the database cannot be reached it says so, and fails nobody: a laptop on a train is no vulnerability.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PINNED = Path(__file__).resolve().parent.parent / "constraints.txt"
COMMAND = (sys.executable, "-m", "pip_audit", "--requirement", str(PINNED), "--no-deps", "--disable-pip")
QUIET = ("--format", "json", "--progress-spinner", "off", "--timeout", "15")


def verdict(written: str, errors: str) -> tuple[int, str]:
    """The exit status, and what to say, of pip-audit's report; not audited when it has looked up nothing."""
    try:
        packages: list[dict[str, Any]] = json.loads(written)["dependencies"]
    except (ValueError, KeyError):
        packages = []
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        reason = "it answers, and has none of our packages" if packages else errors.strip().rpartition("\n")[2][:200]
        return 0, f"NOT AUDITED: the database of vulnerabilities cannot be reached from here: {reason}"
    holes = [
        f"  {one['name']} {one['version']}: {hole['id']}, {mended(hole)}" for one in audited for hole in one["vulns"]
    ]
    missing = f"; {len(packages) - len(audited)} are unknown there" if len(audited) < len(packages) else ""
    if holes:
        return 1, "\n".join([f"{len(holes)} known holes in {len(audited)} packages{missing}:", *holes])
    return 0, f"No known holes in {len(audited)} packages{missing}"


def mended(hole: dict[str, Any]) -> str:
    return f"mended in {', '.join(hole['fix_versions'])}" if hole["fix_versions"] else "not mended yet"


def main() -> int:
    done = subprocess.run([*COMMAND, *QUIET], capture_output=True, text=True, check=False)
    status, words = verdict(done.stdout, done.stderr)
    print(words)
    return status


if __name__ == "__main__":
    sys.exit(main())
