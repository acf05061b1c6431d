"""What the verbs share: options, models, the line of an error, and what --dry-run prints."""
