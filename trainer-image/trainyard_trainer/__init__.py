"""The trainer: from a specification to a checked, versioned model. It is fast to import; frameworks load on use."""
