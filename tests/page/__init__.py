"""The page in a browser; a package, so that what has its scope ends before the tests of other folders begin."""
