"""Import LightGBM without scikit-learn, because its scikit-learn wrappers are not used."""

import sys


def import_lightgbm() -> None:
    """Import LightGBM without scikit-learn, unless that is imported already.

    LightGBM imports scikit-learn if it is installed. In a small job, this import took more than half of the CPU time
    (3.6 s instead of 1.8 s), and it also delayed the start of a server. scikit-learn can still be imported afterwards.
    """
    if "sklearn" in sys.modules or "lightgbm" in sys.modules:
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment] # the import system's sign of a module that is not there
    try:
        import lightgbm  # noqa: F401 - for whoever imports it next
    finally:
        del sys.modules["sklearn"]
