"""What the verbs do with point clouds: a module a verb, called where the tokenizer or the recipe is one of clouds."""
