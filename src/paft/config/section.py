"""What all sections of the config share."""

from pydantic import ConfigDict

SECTION = ConfigDict(extra="forbid", protected_namespaces=())
"""Unknown keys are errors.

A constant and no base class: Ruff takes only direct subclasses of ``BaseModel`` in a file for pydantic models.
"""
