"""The trainer: from a specification to a checked, versioned model. Light to import; frameworks load on use."""
