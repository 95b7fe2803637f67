"""Where cells are computed: the same job function in local processes (and, later, elsewhere)."""
