"""LightGBM without scikit-learn, whose wrappers of it nobody here uses."""

import sys


def import_lightgbm() -> None:
    """Import LightGBM so that it does not bring scikit-learn along, unless that is there already.

    LightGBM looks for scikit-learn as it is imported and goes without where there is none. A small job spent more than
    half of its processor time on that import (3.6 s of CPU against 1.8 s), and a server's start did, too. Whoever needs
    scikit-learn can import it afterwards.
    """
    if "sklearn" in sys.modules or "lightgbm" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment] # the import system's sign of a module that is not there
    try:
        import lightgbm  # noqa: F401 - for whoever imports it next
    finally:
        del sys.modules["sklearn"]
