"""Every number that decides about a ranking of places, in one table.

Fitted on all rows of bench/localise.py (`--fit`) by a listwise logit, no weight negative, with an
L2 penalty that draws them to each other; each feature is divided by its maximum in the instance.
What did not pay under leave-one-repository-out is not here.
"""

from typing import NamedTuple


class Weight(NamedTuple):
    """A feature's weight, and what it says in words."""

    value: float
    says: str


# Names are those of filewise.FileFeatures and functionwise.FunctionFeatures.
FILES = {
    "bm25": Weight(1.24, "the file says what the issue says"),
    "bm25f": Weight(1.21, "names and text match title and lead"),
    "title": Weight(1.04, "names and text match the title"),
    "best_chunk": Weight(1.25, "one function says what the issue says"),
    "title_chunk": Weight(1.08, "one function matches the title"),
    "names": Weight(1.15, "it defines what the title names"),
    "rare": Weight(1.10, "it has rare words of the issue"),
    "folder": Weight(1.13, "its folder matches"),
    "frames": Weight(0.90, "it is in the traceback"),
    "last_frame": Weight(0.88, "it is last in the traceback"),
    "exact_path": Weight(1.05, "the issue names it"),
    "path": Weight(1.18, "its path matches"),
    "module": Weight(0.96, "the issue names its module"),
    "defined": Weight(1.00, "it defines identifiers of the issue's code"),
}
FUNCTIONS = {
    "file": Weight(2.14, "its file matches"),
    "text": Weight(2.04, "its text matches"),
    "title": Weight(1.43, "its text matches the title"),
    "name": Weight(0.32, "its name is in the title"),
    "named": Weight(0.55, "its name is in the issue"),
    "defined": Weight(0.90, "the issue's code has its name"),
    "called": Weight(1.09, "likely functions call it"),
    "framed": Weight(1.40, "it is in the traceback"),
    "length": Weight(1.46, "it is long"),
}
FILES_L2 = 0.1  # the fit's penalties; from .05 to .3 files' MRR differs by .004
FUNCTIONS_L2 = 0.05
LEAST_COVERED = 0.3  # share of what title and lead say that one file must hold to answer
