"""Python runs this at its start where this folder is on its path: see `unsteady.py`."""

import os

if __name__ == "sitecustomize" and "EMULSION_TESTS_UNSTEADY" in os.environ:
    import unsteady

    unsteady.begin(int(os.environ[unsteady.VARIABLE]))
