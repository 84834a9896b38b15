"""The named metrics of the studies: a declaration and a function over runs each."""
