"""Who is measured: the catalog, its weights, and a model loaded in this process."""
