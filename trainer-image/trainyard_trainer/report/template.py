"""Self-contained pages: one style and a few blocks for every report, and everything from users escaped."""

import functools
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

_PACKAGE: Final = "trainyard_trainer.report"


def render(template: str, *, package: str = _PACKAGE, **values: Any) -> str:
    """Return a page.

    Parameters
    ----------
    template
        It begins with ``{% extends "base.html.j2" %}`` and may use ``blocks.html.j2``, both of this package.
    package
        The package that holds it.
    """
    return _environment(package).get_template(template).render(**values)


@functools.cache
def _environment(package: str) -> Environment:
    """Return the one environment: nine tenths of a page's time go into translating its templates, once."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(each, "") for each in dict.fromkeys((package, _PACKAGE))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
