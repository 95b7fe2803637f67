"""Where each model family has its dropout sites, one file each, registered with `@family("model_type")`."""
