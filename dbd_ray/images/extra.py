"""The error of a format whose decoder is an extra package: one that is not installed, or does not load."""

from importlib.util import find_spec

from dbd_ray.errors import PhotoError, PhotoReason


def needs_extra(error: ImportError, what: str, package: str, extra: str, reason: PhotoReason) -> PhotoError:
    """Make the error of photos whose decoder cannot be imported.

    Args:
        error: Of importing it.
        what: The photos, e.g. "camera raw files".
        package: Its package, as pip names it.
        extra: The extra that installs it.
        reason: Of the error, `needs_extra_…`.
    """
    if is_absent(error, package):
        return PhotoError(reason, f"{what} need an extra package: pip install {package} (the extra dbd-ray[{extra}])")
    return PhotoError(
        reason,
        f"{what} need {package}, which is installed but does not load ({error}): mend that, or install it again with "
        f"pip install --force-reinstall {package}",
    )


def is_absent(error: ImportError, package: str) -> bool:
    """Tell a package that is not installed from one in which something else is missing, as a shared library."""
    names = {package.replace("-", "_"), package.removesuffix("-plugin").replace("-", "_")}
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return False
    top = error.name.partition(".")[0]
    return error.name in names or (top in names and find_spec(top) is None)
