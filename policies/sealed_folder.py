"""Sealed folders, by the name under which policies know them; they live in the core, where trunks are stored too."""

from tutelage_core.sealed_folder import MANIFEST, SCHEMA_VERSION, parse_json_object, read_sealed, write_sealed

__all__ = ["MANIFEST", "SCHEMA_VERSION", "parse_json_object", "read_sealed", "write_sealed"]
