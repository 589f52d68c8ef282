# Files of src/router.
