"""What kinds of data share whose examples are read one at a time and may have a class each."""
