"""A package of its own: a library brings a folder of the same name, which would win over one without this file."""
