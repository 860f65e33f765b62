"""Where benchmarks find the repositories of `--repos DIR`."""

import subprocess
from pathlib import Path

FORKS = {  # repositories that are mirrored under another name
    "django/django": "swe-bench/django__django",
    "matplotlib/matplotlib": "swe-bench/matplotlib__matplotlib",
    "scikit-learn/scikit-learn": "swe-bench/scikit-learn__scikit-learn",
}


def find_repository(repos: Path, name: str) -> Path:
    """Find owner/name as owner__name, owner/name or owner+name/repo, bare or not.

    Raises:
        SystemExit: it is not there.
    """
    for candidate in filter(None, (name, FORKS.get(name))):
        owner, _, short = candidate.partition("/")
        for place in (f"{owner}__{short}", f"{owner}/{short}", f"{owner}+{short}/repo"):
            if (repos / place / "HEAD").exists() or (repos / place / ".git").exists():
                return repos / place
    raise SystemExit(f"{name} is not in {repos}: git clone https://github.com/{name}")


def work_tree(found: Path, clones: Path) -> Path:
    """A repository with a work tree: the one that was found, or a clone sharing its objects."""
    if (found / ".git").exists():
        return found
    clone = clones / "+".join(found.parts[-2:])
    if not clone.exists():
        command = ["git", "clone", "-q", "--shared", "--no-checkout", str(found), str(clone)]
        subprocess.run(command, check=True)
    return clone
