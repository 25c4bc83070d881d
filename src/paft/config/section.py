"""What all sections of the config share."""

from pydantic import ConfigDict

SECTION = ConfigDict(extra="forbid", protected_namespaces=())
"""Unknown keys are errors."""
