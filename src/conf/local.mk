# Files of src/conf.
