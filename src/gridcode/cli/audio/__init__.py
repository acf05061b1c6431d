"""What the verbs do with sounds: a module a verb, called where the tokenizer or the recipe is one of sounds."""
