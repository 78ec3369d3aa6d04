"""Self-contained pages: common style and blocks for all reports. All text of users is escaped."""

import functools
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

_PACKAGE: Final = "trainyard_trainer.report"


def render(template: str, *, package: str = _PACKAGE, **values: Any) -> str:
    """Return a page.

    Parameters
    ----------
    template
        Name of a template. It starts with ``{% extends "base.html.j2" %}`` and can use ``blocks.html.j2``, both of this
        package.
    package
        The package of the template.
    """
    return _environment(package).get_template(template).render(**values)


@functools.cache
def _environment(package: str) -> Environment:
    """Return the cached environment, because compiling the templates takes nine tenths of the time of a page."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(each, "") for each in dict.fromkeys((package, _PACKAGE))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
