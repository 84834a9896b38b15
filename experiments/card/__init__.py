"""`valueagents card`: the values of any number of models in one command."""
