"""The kinds that are watched: a module says what the engine has to know of one of them."""
