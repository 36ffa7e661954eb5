"""The templates of pages that people see: what others wrote is escaped, and a name that is missing is an error."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def open_templates(package: str, folder: str = "templates") -> Environment:
    """Open the templates of a package.

    Args:
        package: Its full name.
        folder: Folder in it.
    """
    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
