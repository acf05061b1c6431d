"""What the verbs do with texts: a module a verb, called where the tokenizer or the recipe is one of texts."""
