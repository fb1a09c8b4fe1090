"""Where the folder `schema/` lies: inside the package in a wheel, beside it in a checkout or an editable install."""

from __future__ import annotations

from pathlib import Path

import broker
from broker.errors import SettingsError


def schema_folder() -> Path:
    """The folder with `current.sql` and `migrations/`; raises SettingsError when the installation lacks it."""
    package = Path(broker.__file__).resolve().parent
    for folder in (package / "_schema", package.parent / "schema"):
        if (folder / "migrations" / "env.py").is_file():
            return folder
    raise SettingsError("this installation lacks its folder schema/; install it again", package=str(package))
