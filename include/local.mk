# Files of include.
