# Files of modules.
