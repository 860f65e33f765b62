"""Every number that decides about a ranking of places, in one table.

Fitted on all rows of bench/localise.py by a listwise logit with an L2 penalty and no negative
weight (`bench/localise.py --fit`); each feature is divided by its maximum in the instance.
What did not pay under leave-one-repository-out is not here.
"""

from typing import NamedTuple


class Weight(NamedTuple):
    """A feature's weight, and what it says in words."""

    value: float
    says: str


# Names are those of filewise.FileFeatures and functionwise.FunctionFeatures.
FILES = {
    "bm25": Weight(1.39, "the file says what the issue says"),
    "bm25f": Weight(1.37, "names and text match title and lead"),
    "title": Weight(0.69, "names and text match the title"),
    "best_chunk": Weight(1.58, "one function says what the issue says"),
    "title_chunk": Weight(0.84, "one function matches the title"),
    "names": Weight(1.13, "it defines what the title names"),
    "rare": Weight(1.01, "it has rare words of the issue"),
    "folder": Weight(1.04, "its folder matches"),
    "frames": Weight(0.35, "it is in the traceback"),
    "last_frame": Weight(0.38, "it is last in the traceback"),
    "exact_path": Weight(0.9, "the issue names it"),
    "path": Weight(1.2, "its path matches"),
    "module": Weight(0.38, "the issue names its module"),
    "defined": Weight(0.9, "it defines identifiers of the issue's code"),
}
FUNCTIONS = {
    "file": Weight(1.0, "its file matches"),
    "text": Weight(1.0, "its text matches"),
    "title": Weight(1.0, "its text matches the title"),
    "name": Weight(1.0, "its name is in the title"),
    "named": Weight(1.0, "its name is in the issue"),
    "defined": Weight(1.0, "the issue's code has its name"),
    "called": Weight(1.0, "likely functions call it"),
    "framed": Weight(1.0, "it is in the traceback"),
    "length": Weight(1.0, "it is long"),
}
FILES_L2 = 0.02  # the fit's penalties, chosen among .005 … .1
FUNCTIONS_L2 = 0.02
LEAST_COVERED = 0.2  # share of what title and lead say that one file must hold to answer
