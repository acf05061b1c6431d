"""What the verbs do with video clips: a module a verb, called where the tokenizer or the recipe is one of clips."""
